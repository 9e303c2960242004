//! A whole POS server over real sockets and files. The attributes let clippy know that helpers are tests too.

#[cfg(test)]
mod cloud;
#[cfg(test)]
mod store;

#[cfg(test)]
mod exchange;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod process;
#[cfg(test)]
mod report;
