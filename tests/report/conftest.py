import pytest

from s2squant.report.study_pages import render
from tests.report.factory import make_study


@pytest.fixture(scope="session")
def study():
    return make_study()


@pytest.fixture(scope="session")
def files(study):
    return dict(render(study))


@pytest.fixture(scope="session")
def pages(files):
    return {path: content.decode() for path, content in files.items() if path.endswith(".html")}
