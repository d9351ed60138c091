"""What lies on the server's disks: what can be worked on, what was uploaded, and the projects."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import Field

from services.deliveries import project
from services.filesystem_service import listing
from services.project_summaries import ProjectSummary
from services.run_request import PathText
from services.uploads import Uploads
from web.access import needs
from web.api.common import Input, Output, answer, as_json, section
from web.panel import panel

blueprint = section("files", "What can be worked on: folders below BROWSE_ROOTS, uploads, projects.")


class BrowseQuery(Input):
    """The folder to look into; without one, the folders to begin with."""

    path: PathText | None = None


class Entry(Output):
    """What stands in a folder. `kind` is folder, archive, video or other; `problem` says why it cannot be taken, if so.

    `part_of` names the archive that a file is a later part of: its first part is to be taken.
    """

    name: str
    path: str
    kind: str
    size: int | None
    problem: str
    part_of: str


class Listing(Output):
    """A folder, with the first of the `total` things in it. `path` is null for the list of those to begin with."""

    path: str | None
    entries: list[Entry]
    total: int


class UploadOut(Output):
    """An upload: `offset` of `length` bytes have arrived. `path` is what a run takes once all has; `expires` when not."""

    id: str
    name: str
    folders: list[str]
    batch: str
    length: int
    offset: int
    path: str | None
    expires: str | None


class UploadList(Output):
    """The uploads. They are made at `/uploads`, by the protocol tus 1.0 (https://tus.io)."""

    uploads: list[UploadOut]


class ProjectOut(Output):
    """A project: of its videos, how many each step has done, and how many it failed on."""

    name: str
    path: str
    videos: int
    done: dict[str, int]
    failed: dict[str, int]
    changed_at: str


class Projects(Output):
    """The projects, the one that changed last first."""

    projects: list[ProjectOut]


class ProjectName(Input):
    """The name of a project."""

    name: str = Field(description="The name of a project, as the list tells it.")


class VideoOut(Output):
    """A video: for each step that is done, what its record says; for each that failed, why."""

    video: str
    steps: dict[str, Any]
    failures: dict[str, Any]


class FolderOut(Output):
    """A delivery, or the archive of a video: a folder and the paths of its files in it."""

    folder: str
    files: list[str]
    at: str


class ProjectDetail(Output):
    """A project as its records tell it, where it was delivered, and the archives of its videos."""

    name: str
    videos: list[VideoOut]
    deliveries: list[FolderOut]
    archives: list[FolderOut]


@blueprint.get("/browse", responses={200: Listing})
@needs("run")
def browse(query: BrowseQuery) -> Response:
    """List a folder: what may be an input of a run."""
    found = listing(query.path, panel().settings)
    entries = [Entry.model_validate(as_json(entry)) for entry in found.entries]
    return answer(Listing(path=str(found.path) if found.path else None, entries=entries, total=found.total))


@blueprint.get("/uploads", responses={200: UploadList})
def uploads() -> Response:
    """List the uploads, those under way and those that have arrived."""
    found = [
        UploadOut(
            id=upload.id,
            name=upload.announced.name,
            folders=list(upload.announced.folders),
            batch=upload.announced.batch,
            length=upload.announced.length,
            offset=upload.offset,
            path=str(upload.input_path) if upload.input_path else None,
            expires=upload.expires.isoformat() if upload.expires else None,
        )
        for upload in Uploads(panel().settings).all()
    ]
    return answer(UploadList(uploads=found))


@blueprint.get("/projects", responses={200: Projects})
def list_projects() -> Response:
    """List the projects."""
    found = [_project(each) for each in panel().projects.all()]
    return answer(Projects(projects=found))


@blueprint.get("/projects/<name>", responses={200: ProjectDetail})
def show_project(path: ProjectName) -> Response:
    """Tell what is done on each video of a project, and what became of it."""
    found = project(path.name, panel().settings)
    deliveries = [FolderOut(folder=str(it.folder), files=list(it.files), at=it.changed_at) for it in found.deliveries]
    archives = [FolderOut(folder=str(it.folder), files=list(it.files), at=it.created_at) for it in found.archives]
    videos = [VideoOut.model_validate(as_json(row)) for row in found.board.rows]
    return answer(ProjectDetail(name=found.name, videos=videos, deliveries=deliveries, archives=archives))


def _project(known: ProjectSummary) -> ProjectOut:
    return ProjectOut(
        name=known.name, path=str(known.path), videos=known.videos, done=known.done, failed=known.failed,
        changed_at=known.changed_at,
    )  # fmt: skip
