//! Words of the file: the window's for codes, ours in English or Russian for the rest.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Words by key.
pub(super) struct Words<'a> {
    /// The window's words by kind and code.
    given: HashMap<&'a str, HashMap<&'a str, &'a str>>,
    is_russian: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>, locale: &str) -> Self {
        let mut kinds: HashMap<&str, HashMap<&str, &str>> = HashMap::new();
        for (key, word) in given {
            if let Some((kind, code)) = key.split_once('.') {
                kinds.entry(kind).or_default().insert(code, word);
            }
        }
        Self { given: kinds, is_russian: locale.starts_with("ru") }
    }

    /// Our word for a key that this file knows.
    pub(super) fn get(&self, key: &'static str) -> &'static str {
        match OURS.iter().find(|(ours, ..)| *ours == key) {
            Some((_, _, russian)) if self.is_russian => russian,
            Some((_, english, _)) => english,
            None => key,
        }
    }

    /// The window's word for a code such as `online` of the kind `link`; the code in readable form if it has none.
    pub(super) fn code(&self, kind: &str, code: &'a str) -> Cow<'a, str> {
        match self.given.get(kind).and_then(|words| words.get(code)) {
            Some(word) => (*word).into(),
            None => code.replace('_', " ").into(),
        }
    }

    /// A duration as ISO 8601 has it, such as `PT5H`, for people.
    pub(super) fn duration(&self, iso: &str) -> String {
        let units = if self.is_russian { [" дн.", " ч", " мин"] } else { [" d", " h", " min"] };
        let mut words = iso.replace(['P', 'T'], "");
        for (letter, unit) in ['D', 'H', 'M'].into_iter().zip(units) {
            words = words.replace(letter, &format!("{unit} "));
        }
        words.trim_end().to_owned()
    }
}

const OURS: &[(&str, &str, &str)] = &[
    ("sheet.statuses", "Statuses", "Статусы"),
    ("sheet.summary", "Summary", "Сводка"),
    ("column.behind_since", "Waiting since", "Ожидают с"),
    ("column.offline_cause", "Offline cause", "Причина отсутствия связи"),
    ("column.database_generation", "Database generation", "Поколение базы"),
    ("column.database_created_at", "Database created", "База создана"),
    ("column.database_size", "Database size, bytes", "Размер базы, байт"),
    ("summary.title", "POS server statuses", "Статусы POS-серверов"),
    ("summary.written_at", "Written at", "Записано"),
    ("summary.as_of", "As of", "По состоянию на"),
    ("summary.time_zone", "Time zone", "Часовой пояс"),
    (
        "summary.outlet_zone",
        "each outlet's own; on this sheet UTC",
        "свой у каждого заведения; на этом листе UTC",
    ),
    ("summary.by", "Written by", "Кем записано"),
    ("summary.cloud", "Cloud", "Облако"),
    ("summary.filter", "Filter", "Фильтр"),
    ("summary.no_filter", "none", "нет"),
    ("summary.within", "reported within", "отчёт за последние"),
    ("summary.problems_only", "without those that are well", "без исправных"),
    ("summary.search", "search", "поиск"),
    ("summary.rows", "Rows in this file", "Строк в файле"),
    ("summary.total", "All POS servers", "Всего POS-серверов"),
    ("summary.state", "State", "Состояние"),
    ("summary.count", "Count", "Количество"),
    ("summary.error", "Sync error", "Ошибка синхронизации"),
    ("summary.update_required", "Needs an update", "Требует обновления"),
    ("summary.offline_rows", "Offline", "Нет связи"),
    ("summary.unknown", "Unknown", "Неизвестно"),
    ("summary.well", "Well", "В порядке"),
    (
        "summary.offline",
        "Written without a connection to the cloud: these are the last known statuses.",
        "Записано без связи с облаком: это последние известные статусы.",
    ),
];
