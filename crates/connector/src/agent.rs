//! The agent: one loop that owns the connector's state. Whatever happens reaches it as an [`Event`]; nothing
//! else changes what it knows.

mod frames;
mod link_state;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::tz::TimeZone;
use tillwatch_protocol::device::{BadKey, Identity};
use tillwatch_protocol::ids::{BootId, JobId};
use tillwatch_protocol::link::frame::{ByeReason, ConnectorFrame, JobFinished, Relayed, StoreReport};
use tillwatch_protocol::rest::job::{JobKind, JobProgress};
use tillwatch_protocol::rest::pos_server::PosState;
use tillwatch_service::Lifecycle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backups::Backups;
use crate::cloud_client::{CallError, CloudClient, Transport, TransportError};
use crate::config::Config;
use crate::files::{self, Access};
use crate::generation::Generation;
use crate::identity;
use crate::jobs::{self, Job, Tools};
use crate::journal::{Entry, Journal};
use crate::link::{Backoff, LinkEvent};
use crate::pos::{Observation, Pos, PosHandle};
use link_state::Link;

/// How many events may wait. Whoever has more to tell waits.
const QUEUE_EVENTS: usize = 64;
/// Reports that change faster are told this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How long farewell and the child's stop may take together.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// How many canceled jobs that never came are remembered.
const REMEMBERED_CANCELS: usize = 1000;

/// What an agent needs.
pub struct AgentOptions {
    /// Where journal, backups and generation lie.
    pub data_dir: PathBuf,
    /// The settings.
    pub config: Config,
    /// Who the connector is.
    pub identity: Identity,
    /// The POS server; [`Pos::from_config`] unless the program embeds it.
    pub pos: Pos,
    /// Connections to share with other agents of the process; the agent's own if absent.
    pub transport: Option<Transport>,
    /// Who started the program, and wants to know that the loop turns; nobody by default.
    pub lifecycle: Lifecycle,
    /// Ends the agent: it says goodbye and stops a child that it supervises.
    pub shutdown: CancellationToken,
}

/// Why an agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// TLS could not be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The identity holds no key.
    #[error(transparent)]
    Identity(#[from] BadKey),
    /// The data dir can't be used.
    #[error("could not open the {what} in {}", data_dir.display())]
    DataDir {
        /// What could not be opened.
        what: &'static str,
        /// The data dir.
        data_dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The tasks of an agent. Dropped with it, they end with it.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// Those that say goodbye: the session and the supervisor of a child.
    pub(crate) lasting: JoinSet<()>,
    /// Those that may be cut off: jobs go on from the journal.
    pub(crate) workers: JoinSet<()>,
}

/// All that can happen to an agent.
enum Event {
    /// The session of this number tells something.
    Link(u64, LinkEvent),
    /// The POS server is seen in another state, or reports something else.
    Observed,
    /// A job has ended; the journal knows.
    JobEnded(JobFinished),
    /// What became of a request that came with the session of this number.
    Relayed(u64, Relayed),
    /// The cloud answered a heartbeat over HTTPS.
    HeartbeatAnswered(Result<(), CallError>),
    /// It is time for something.
    Due(Timer),
    /// The agent is told to end.
    Shutdown,
}

/// What it can be time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Another session.
    Connect,
    /// A sign of life over HTTPS while there is no link.
    Heartbeat,
    /// `alive` on the link.
    Alive,
    /// A report that changed.
    Report,
    /// The progress of jobs.
    Progress,
    /// To give up a session: the cloud drains, or never said welcome.
    Leave,
    /// A sign of life to who started the program.
    SignOfLife,
}

/// A job that is being done.
struct AtWork {
    kind: JobKind,
    cancel: CancellationToken,
    progress: watch::Receiver<Option<JobProgress>>,
}

struct Agent {
    tools: Tools,
    boot_id: BootId,
    started_at: DateTime<Utc>,
    time_zone: TimeZone,

    link: Link,
    backoff: Backoff,
    sessions: u64,
    drops: u64,
    /// Why the last try failed, so that a long outage is one line in the log.
    last_refusal: Option<String>,
    heartbeat_at: Instant,

    seen: watch::Receiver<Observation>,
    told: Option<StoreReport>,
    told_at: Instant,
    report_changed: bool,

    at_work: BTreeMap<JobId, AtWork>,
    /// How many requests of third parties the POS server has not answered.
    relaying: usize,
    progress_at: Instant,
    canceled: BTreeSet<JobId>,

    events: mpsc::Receiver<Event>,
    tell: mpsc::Sender<Event>,
    tasks: Tasks,
    lifecycle: Lifecycle,
    sign_of_life_at: Instant,
    shutdown: CancellationToken,
}

/// Runs an agent until it is told to end. Dropping the future is as if the process had been killed.
pub async fn run(options: AgentOptions) -> Result<(), AgentError> {
    let mut agent = Agent::open(options)?;
    let mut cut_off = agent.tools.journal.unacknowledged();
    cut_off.retain(|entry| entry.outcome().is_none());
    let ids: Vec<_> = cut_off.iter().map(|entry| entry.order.id).collect();
    jobs::clean(&agent.tools.data_dir, &ids);
    for entry in &cut_off {
        tracing::info!(id = %entry.order.id, "a job goes on after a restart");
        if let Some(sent_at) = entry.order.sent_at {
            agent.tools.client.recall_clock(sent_at, entry.accepted_at);
        }
        agent.put_to_work(entry, agent.cloud_now());
    }
    agent.lifecycle.ready();
    loop {
        agent.give_sign_of_life();
        match agent.next_event().await {
            Event::Shutdown => break,
            event => agent.handle(event).await,
        }
    }
    agent.say_goodbye().await;
    Ok(())
}

impl Agent {
    fn open(options: AgentOptions) -> Result<Self, AgentError> {
        let AgentOptions { data_dir, config, mut identity, pos, transport, lifecycle, shutdown } = options;
        if let Some(cloud) = &config.cloud {
            identity.cloud = cloud.clone();
        }
        let transport = if let Some(shared) = transport {
            shared
        } else {
            let ca = config.ca.as_ref().map(|ca| data_dir.join(ca));
            let ca = ca.or_else(|| identity::ca_file(&data_dir));
            Transport::new(ca.as_deref(), config.proxy.as_ref())?
        };
        let client = CloudClient::new(&identity, transport)?;
        let fail = |what| {
            let data_dir = data_dir.clone();
            move |source| AgentError::DataDir { what, data_dir, source }
        };
        let now = client.now();
        files::create_dir(&data_dir, Access::Public)
            .and_then(|()| files::remove_unfinished(&data_dir))
            .map_err(fail("files"))?;
        let journal = Journal::open(&data_dir, now).map_err(fail("journal"))?;
        let in_backups = Backups::new(&data_dir).list().iter().map(|backup| backup.generation).max();
        let highest = journal.highest_generation().max(in_backups.unwrap_or(0));
        let generation = Generation::open(&data_dir, highest, now).map_err(fail("generation"))?;

        let mut tasks = Tasks::default();
        // A job that was cut off with the database in its hands starts the POS server itself.
        let held = journal
            .unacknowledged()
            .iter()
            .any(|entry| entry.step().is_some_and(|step| step.database.is_some()));
        let local = client.transport().local.clone();
        let pos = PosHandle::spawn(pos, local, &data_dir, held, &shutdown, &mut tasks);
        let seen = pos.subscribe();
        let time_zone = config
            .pos
            .time_zone
            .clone()
            .or_else(|| TimeZone::get(&identity.time_zone).ok())
            .unwrap_or(TimeZone::UTC);
        let (tell, events) = mpsc::channel(QUEUE_EVENTS);
        let at = Instant::now();
        Ok(Self {
            tools: Tools {
                client,
                pos,
                journal,
                generation,
                config: Arc::new(config),
                identity: Arc::new(identity),
                data_dir: data_dir.into(),
            },
            boot_id: BootId::new(),
            started_at: now,
            time_zone,
            link: Link::down_until(at),
            backoff: Backoff::default(),
            sessions: 0,
            drops: 0,
            last_refusal: None,
            heartbeat_at: at + link_state::first_heartbeat(),
            seen,
            told: None,
            told_at: at,
            report_changed: false,
            at_work: BTreeMap::new(),
            relaying: 0,
            progress_at: at,
            canceled: BTreeSet::new(),
            events,
            tell,
            tasks,
            lifecycle,
            sign_of_life_at: at,
            shutdown,
        })
    }

    async fn next_event(&mut self) -> Event {
        while self.tasks.workers.try_join_next().is_some() {}
        while self.tasks.lasting.try_join_next().is_some() {}
        let (at, timer) = self.next_timer();
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Event::Shutdown,
            Some(event) = self.events.recv() => event,
            Ok(()) = self.seen.changed() => Event::Observed,
            () = tokio::time::sleep_until(at) => Event::Due(timer),
        }
    }

    fn next_timer(&self) -> (Instant, Timer) {
        let mut timers = self.link_timers();
        if self.link.is_welcome() {
            if self.report_changed {
                timers.push((self.told_at + REPORT_EVERY, Timer::Report));
            }
            if !self.at_work.is_empty() {
                timers.push((self.progress_at, Timer::Progress));
            }
        }
        if self.lifecycle.alive_every().is_some() {
            timers.push((self.sign_of_life_at, Timer::SignOfLife));
        }
        let far = (Instant::now() + Duration::from_hours(1), Timer::Heartbeat);
        timers.into_iter().min_by_key(|(at, _)| *at).unwrap_or(far)
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Link(number, event) => self.on_link(number, event).await,
            Event::Observed => self.on_observed(),
            Event::JobEnded(outcome) => {
                self.at_work.remove(&outcome.id);
                // What the job changed is told first: whoever hears of its end may ask for it, such as for the
                // backup that a reset made.
                self.on_observed();
                if self.report_changed {
                    self.tell_report();
                }
                self.send(ConnectorFrame::JobFinished(outcome));
            }
            Event::Relayed(session, relayed) => self.on_relayed(session, relayed),
            Event::HeartbeatAnswered(answer) => self.on_heartbeat_answered(answer),
            Event::Due(timer) => self.on_due(timer),
            // The loop ends before it gets here.
            Event::Shutdown => {}
        }
    }

    fn on_due(&mut self, timer: Timer) {
        let now = Instant::now();
        match timer {
            Timer::Connect => self.connect(),
            Timer::Heartbeat => self.send_heartbeat(),
            Timer::Alive => {
                let pos_answers = self.seen.borrow().state == PosState::Running;
                self.link.alive_told(now);
                self.send(ConnectorFrame::Alive { pos_answers });
            }
            Timer::Report => self.tell_report(),
            Timer::Progress => {
                self.progress_at = now + PROGRESS_EVERY;
                self.tell_progress();
            }
            Timer::Leave => self.leave(),
            // The loop gives one each time it turns and one is due; the timer only makes it turn.
            Timer::SignOfLife => {}
        }
    }

    fn give_sign_of_life(&mut self) {
        let now = Instant::now();
        if let Some(every) = self.lifecycle.alive_every()
            && now >= self.sign_of_life_at
        {
            self.lifecycle.alive();
            self.sign_of_life_at = now + every;
        }
    }

    fn on_observed(&mut self) {
        let seen = self.seen.borrow_and_update().clone();
        self.version_seen(seen.report.pos_version.as_deref());
        let running = seen.state == PosState::Running;
        let known = seen.state != PosState::Unknown;
        let report = self.tools.store_report(seen.clone());
        if running
            && let Some(created_at) = report.report.database.created_at
            && let Err(error) = self.tools.generation.observe(created_at)
        {
            tracing::error!(%error, "could not write down the database's generation");
        }
        let report = self.tools.store_report(seen);
        self.report_changed = known && self.told.as_ref() != Some(&report);
    }

    fn tell_report(&mut self) {
        let report = self.tools.store_report(self.seen.borrow().clone());
        self.told_at = Instant::now();
        self.report_changed = false;
        self.told = Some(report.clone());
        self.send(ConnectorFrame::Report { report });
    }

    fn tell_progress(&mut self) {
        let mut frames = Vec::new();
        for (&id, job) in &mut self.at_work {
            if job.progress.has_changed().unwrap_or(false)
                && let Some(progress) = job.progress.borrow_and_update().clone()
            {
                frames.push(ConnectorFrame::JobProgress { id, progress });
            }
        }
        for frame in frames {
            self.send(frame);
        }
    }

    /// Begins a job that the journal holds as running, or goes on with it. `now` is the cloud's time.
    fn put_to_work(&mut self, entry: &Entry, now: DateTime<Utc>) {
        let cancel = CancellationToken::new();
        let (progress, told) = watch::channel(None);
        let job = Job::new(entry, now, self.tools.clone(), self.time_zone.clone(), cancel.clone(), progress);
        let tell = self.tell.clone();
        self.tasks.workers.spawn(async move {
            let outcome = Box::pin(job.run()).await;
            // Fails only when the agent has ended: the journal holds the outcome.
            let _ = tell.send(Event::JobEnded(outcome)).await;
        });
        let at_work = AtWork { kind: entry.order.spec.kind(), cancel, progress: told };
        self.at_work.insert(entry.order.id, at_work);
    }

    async fn say_goodbye(mut self) {
        self.tasks.workers.shutdown().await;
        self.send(ConnectorFrame::Bye { reason: ByeReason::Stopping });
        // Dropping the session closes it after what is still to be sent.
        self.link = Link::down_until(Instant::now());
        let ending = async { while self.tasks.lasting.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, ending).await.is_err() {
            tracing::warn!("not all tasks have ended in time");
        }
    }
}
