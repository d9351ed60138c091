"""The history of runs, as the settings name it. Apart from what carries runs out: looking at them needs none of that."""

from __future__ import annotations

from config.settings import Settings, load_settings
from services.database import open_database
from services.executions import Store
from services.survival import settle_orphans


def open_store(settings: Settings, *, patience: float = 10.0) -> Store:
    """Return the store that the settings name. `patience`: seconds that a transaction waits for other writers."""
    return Store(open_database(settings.data_dir, settings.database_url, patience=patience))


def open_settled_store() -> Store:
    """Return the store that the settings name, where no run is shown as going on whose supervisor is gone."""
    store = open_store(load_settings())
    settle_orphans(store)
    return store
