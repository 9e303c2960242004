//! The schema's history. Migrations only ever add to the end of the list.

mod m0001_first;

use sea_orm_migration::prelude::*;

/// Every migration in the order of its making.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_first::Migration)]
    }
}
