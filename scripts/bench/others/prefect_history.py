"""Fill a Prefect server's own database with ended flow runs, through its own models: `prefect_history.py RUNS`."""

import asyncio
import sys
from datetime import datetime, timedelta, timezone

from prefect.server import models, schemas
from prefect.server.database import provide_database_interface


async def main(runs: int) -> None:
    """Make one flow with that many runs, a minute apart, all completed."""
    database = provide_database_interface()
    await database.create_db()
    first = datetime(2025, 1, 1, tzinfo=timezone.utc)
    async with database.session_context(begin_transaction=True) as session:
        flow = await models.flows.create_flow(session, schemas.core.Flow(name="derush"))
        for number in range(runs):
            at = first + timedelta(minutes=number)
            run = schemas.core.FlowRun(
                flow_id=flow.id, name=f"run {number}", start_time=at, end_time=at, expected_start_time=at,
                state=schemas.states.State(type=schemas.states.StateType.COMPLETED, timestamp=at),
            )  # fmt: skip
            await models.flow_runs.create_flow_run(session, run)


asyncio.run(main(int(sys.argv[1])))
