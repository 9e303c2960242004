//! What the tray and notifications say. The window has its own words; these are said while it may not even be open.

use crate::ipc::Language;
use crate::platform;
use crate::watch::{NAMED, News, State, Stores};

/// The words of a language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    is_russian: bool,
}

/// The words of the language that the user chose.
pub(crate) fn of(language: Language) -> Words {
    Words { is_russian: platform::is_russian(language) }
}

impl Words {
    pub(super) fn open(self) -> &'static str {
        self.say("Open Tillwatch", "Открыть Tillwatch")
    }

    pub(super) fn quit(self) -> &'static str {
        self.say("Quit", "Выход")
    }

    /// The state of all stores in a line.
    pub(super) fn state(self, state: State) -> String {
        match state {
            State::SignedOut => self.say("Not signed in", "Вход не выполнен").into(),
            State::NotLive => self.say("No connection to the cloud", "Нет связи с облаком").into(),
            State::Errors(count) => self.errors(count as usize),
            State::Offline(count) => self.offline(count as usize),
            State::UpdateRequired(count) => self.count(
                count as usize,
                ["store needs an update", "stores need an update"],
                [
                    "заведение требует обновления",
                    "заведения требуют обновления",
                    "заведений требуют обновления",
                ],
            ),
            State::Unknown(count) => self.count(
                count as usize,
                ["store of which nothing is known", "stores of which nothing is known"],
                [
                    "заведение с неизвестным состоянием",
                    "заведения с неизвестным состоянием",
                    "заведений с неизвестным состоянием",
                ],
            ),
            State::Well => self.say("All stores are well", "Все заведения в порядке").into(),
        }
    }

    pub(super) fn tooltip(self, state: State) -> String {
        format!("Tillwatch: {}", self.state(state))
    }

    /// What a notification says first.
    pub(super) fn news_title(self, news: &News) -> String {
        let parts = [
            (&news.errors, self.errors(news.errors.count)),
            (&news.offline, self.offline(news.offline.count)),
            (&news.recovered, self.recovered(news.recovered.count)),
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|(stores, _)| stores.count > 0).map(|(_, words)| words).collect();
        parts.join(", ")
    }

    /// Which stores it is about; a line a kind where there are several.
    pub(super) fn news_body(self, news: &News) -> String {
        let kinds = [
            (&news.errors, self.say("Sync error", "Ошибка синхронизации")),
            (&news.offline, self.say("Offline", "Нет связи")),
            (&news.recovered, self.say("Well again", "Снова в порядке")),
        ];
        let kinds: Vec<_> = kinds.into_iter().filter(|(stores, _)| stores.count > 0).collect();
        if let [(stores, _)] = kinds[..] {
            return self.names(stores);
        }
        let lines: Vec<String> =
            kinds.into_iter().map(|(stores, kind)| format!("{kind}: {}", self.names(stores))).collect();
        lines.join("\n")
    }

    fn errors(self, count: usize) -> String {
        self.count(
            count,
            ["store has a sync error", "stores have sync errors"],
            [
                "заведение с ошибкой синхронизации",
                "заведения с ошибкой синхронизации",
                "заведений с ошибкой синхронизации",
            ],
        )
    }

    fn offline(self, count: usize) -> String {
        self.count(
            count,
            ["store is offline", "stores are offline"],
            ["заведение без связи", "заведения без связи", "заведений без связи"],
        )
    }

    fn recovered(self, count: usize) -> String {
        self.count(
            count,
            ["store is well again", "stores are well again"],
            ["заведение снова в порядке", "заведения снова в порядке", "заведений снова в порядке"],
        )
    }

    fn names(self, stores: &Stores) -> String {
        /// A name longer than this would push the others out.
        const LONGEST: usize = 60;

        let names: Vec<String> = stores
            .names
            .iter()
            .map(|name| {
                let mut plain = name.chars().map(|c| if c.is_control() { ' ' } else { c });
                let mut short: String = plain.by_ref().take(LONGEST).collect();
                if plain.next().is_some() {
                    short.push('…');
                }
                short
            })
            .collect();
        let others = stores.count - stores.names.len().min(NAMED);
        if others == 0 {
            return names.join(", ");
        }
        let names = names.join(", ");
        if self.is_russian {
            format!("{names} и ещё {others}")
        } else {
            format!("{names} and {others} more")
        }
    }

    fn say(self, english: &'static str, russian: &'static str) -> &'static str {
        if self.is_russian { russian } else { english }
    }

    /// The count with the word that it takes: one and more in English; one, few and many in Russian.
    fn count(self, count: usize, english: [&str; 2], russian: [&str; 3]) -> String {
        let word = if self.is_russian {
            match (count % 10, count % 100) {
                (_, 11..=14) => russian[2],
                (1, _) => russian[0],
                (2..=4, _) => russian[1],
                _ => russian[2],
            }
        } else {
            english[usize::from(count != 1)]
        };
        format!("{count} {word}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Words = Words { is_russian: false };
    const RUSSIAN: Words = Words { is_russian: true };

    fn stores(count: usize) -> Stores {
        let names = ["Riga Centrs", "Jelgava", "Liepāja"].map(str::to_owned);
        Stores { names: names.into_iter().take(count).collect(), count }
    }

    #[test]
    fn news_are_told_in_both_languages() {
        let one = News { offline: stores(1), ..News::default() };
        assert_eq!(ENGLISH.news_title(&one), "1 store is offline");
        assert_eq!(ENGLISH.news_body(&one), "Riga Centrs");
        assert_eq!(RUSSIAN.news_title(&one), "1 заведение без связи");

        let many = News { errors: stores(2), offline: stores(12), recovered: stores(21) };
        assert_eq!(
            ENGLISH.news_title(&many),
            "2 stores have sync errors, 12 stores are offline, 21 stores are well again"
        );
        assert_eq!(
            ENGLISH.news_body(&many),
            "Sync error: Riga Centrs, Jelgava\nOffline: Riga Centrs, Jelgava, Liepāja and 9 more\n\
             Well again: Riga Centrs, Jelgava, Liepāja and 18 more"
        );
        assert_eq!(
            RUSSIAN.news_title(&many),
            "2 заведения с ошибкой синхронизации, 12 заведений без связи, 21 заведение снова в порядке"
        );
        assert!(
            RUSSIAN.news_body(&many).ends_with("Снова в порядке: Riga Centrs, Jelgava, Liepāja и ещё 18")
        );
    }

    #[test]
    fn what_a_store_is_called_stays_on_its_line_and_is_not_long() {
        let name = format!("Riga\nOffline: all\u{7}{}", "x".repeat(100));
        let news = News { errors: Stores { names: vec![name], count: 1 }, ..News::default() };
        let body = ENGLISH.news_body(&news);
        assert!(body.starts_with("Riga Offline: all x") && body.ends_with("x…"), "{body}");
        assert_eq!(body.chars().count(), 61);
    }
}
