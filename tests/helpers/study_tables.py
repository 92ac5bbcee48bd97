"""What a study in PostgreSQL holds, by plain SQL on its tables."""

from __future__ import annotations

from typing import Any

STATES = "select state::text, count(*) from trials group by state"
ARCHS = """
select count(*), count(distinct a.value_json) from trials t
join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'arch_id'
where t.state = 'COMPLETE'
"""
COMPLETE = "select count(*) from trials where state = 'COMPLETE'"
RUN_AGAIN = "select count(*) from trial_user_attributes where key = 'again'"
FRONT = """
with found as (
    select distinct (c.value_json::json ->> 'macs')::float8 as macs, v.value as top1 from trials t
    join trial_user_attributes c on c.trial_id = t.trial_id and c.key = 'costs'
    join trial_values v on v.trial_id = t.trial_id and v.objective = 0
    where t.state = 'COMPLETE'
)
select macs, top1 from found f where not exists (
    select 1 from found g
    where g.top1 >= f.top1 and g.macs <= f.macs and (g.top1 > f.top1 or g.macs < f.macs)
)
"""
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]
