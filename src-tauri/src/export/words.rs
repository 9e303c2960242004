//! Words of the file: the window's, and where it has none, ours in English or Russian.

use std::collections::BTreeMap;

/// Words by key.
pub(super) struct Words<'a> {
    given: &'a BTreeMap<String, String>,
    is_russian: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>, locale: &str) -> Self {
        Self { given, is_russian: locale.starts_with("ru") }
    }

    /// The word for a key that this file knows.
    pub(super) fn get(&self, key: &'static str) -> &str {
        self.given.get(key).map_or_else(
            || match OURS.iter().find(|(ours, ..)| *ours == key) {
                Some((_, _, russian)) if self.is_russian => russian,
                Some((_, english, _)) => english,
                None => key,
            },
            String::as_str,
        )
    }

    /// The window's word for a code such as `link.online`; the code in readable form if it has none.
    pub(super) fn code(&self, kind: &str, code: &str) -> String {
        self.given.get(&format!("{kind}.{code}")).cloned().unwrap_or_else(|| code.replace('_', " "))
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
    ("summary.outlet_zone", "each outlet's own", "свой у каждой точки"),
    ("summary.by", "Written by", "Кем записано"),
    ("summary.cloud", "Cloud", "Облако"),
    ("summary.filter", "Filter", "Фильтр"),
    ("summary.no_filter", "none", "нет"),
    ("summary.within", "reported within", "обновлялись за"),
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
