"""Tell a webhook when a run fails: `python -m flows.alerts install --webhook URL`, and `remove`.

One block holds the address (as a secret), one automation listens to our runs' ends and to our own events. Installing
again changes both in place. It needs the server (PREFECT_API_URL, or the one that `s2squant up` started).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from flows.environment import prefect_settings
from s2squant.nightly.operation.server import TAG, PrefectApi, address

os.environ.update(prefect_settings(ephemeral=False))
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_API_URL", address()[0])

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events import EventTrigger, ResourceSpecification
from prefect.events.actions import SendNotification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.types import SecretDict

from flows.night_artifacts import DRIFT, STALE
from s2squant.cli.exits import complain
from s2squant.errors import CallerError, ConfigError

NAME = "s2squant-alerts"
"""Of the block and of the automation."""
STATES = ("Failed", "Crashed", "TimedOut", "PartiallyFailed", "Late")
EVENTS = (*(f"prefect.flow-run.{state}" for state in STATES), STALE, DRIFT)
SUBJECT = (
    "s2squant: {{ deployment.name or flow.name }} "
    "{{ event.event | replace('prefect.flow-run.', '') | replace('s2squant.', '') }}"
)
BODY = """\
{{ flow_run.name }}
{{ event.payload.message or flow_run.state.message or 'no reason was given' }}
Look:  s2squant status
Again: prefect deployment run '{{ flow.name }}/{{ deployment.name }}' \
-p asof={{ flow_run.parameters.asof or flow_run.expected_start_time.isoformat() }}
Run:   {{ flow_run | ui_url }}
"""


def install(webhook: str) -> None:
    """Create the block and the automation, or bring those that stand up to date; raises ConfigError for a bad URL."""
    parts = urlsplit(webhook)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--webhook is no web address; write https://HOST/PATH")
    block = CustomWebhookNotificationBlock(
        name=NAME,
        url="{{webhook}}",
        json_data={"title": "{{subject}}", "text": "{{body}}"},
        secrets=SecretDict({"webhook": webhook}),
    )
    document = block.save(NAME, overwrite=True)
    wanted = Automation(
        name=NAME,
        description="Runs of s2squant that failed, in part or late; stale prices; drift.",
        trigger=EventTrigger(
            expect=set(EVENTS),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
            ),
            threshold=1,
            within=timedelta(0),
        ),
        actions=[SendNotification(block_document_id=document, subject=SUBJECT, body=BODY)],
    )
    with get_client(sync_client=True) as client:
        standing = client.read_automations_by_name(NAME)
        for extra in standing[1:]:
            client.delete_automation(extra.id)
    if standing:
        wanted.id = standing[0].id
        wanted.update()
    else:
        wanted.create()


def remove() -> bool:
    """Take both away; whether there was anything."""
    removed = False
    with get_client(sync_client=True) as client:
        while standing := client.read_automations_by_name(NAME):  # a page of them at a time
            for automation in standing:
                client.delete_automation(automation.id)
            removed = True
        try:
            block = client.read_block_document_by_name(NAME, CustomWebhookNotificationBlock.get_block_type_slug())
        except ObjectNotFound:
            return removed
        client.delete_block_document(block.id)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Install or remove."""
    parser = argparse.ArgumentParser(prog="python -m flows.alerts", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("install", help="create the webhook and the automation, or change them")
    adding.add_argument("--webhook", metavar="URL", help="left out: the environment's S2SQUANT_WEBHOOK")
    commands.add_parser("remove", help="take both away")
    options = parser.parse_args(argv)
    try:
        with PrefectApi(PREFECT_API_URL.value() or address()[0]) as api:
            api.deployments()  # says in one line where there is no server
        if options.command == "remove":
            print("removed" if remove() else "there was nothing to remove")
            return 0
        webhook = options.webhook or os.environ.get("S2SQUANT_WEBHOOK", "")
        if not webhook:
            raise ConfigError("no webhook is named; give --webhook URL or set S2SQUANT_WEBHOOK")
        install(webhook)
    except CallerError as error:
        complain(str(error))
        return error.exit_status
    print(f"{', '.join(STATES)}, stale prices and drift are told to the webhook at {urlsplit(webhook).hostname}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
