import pytest
from factory import make_study

from s2squant.report import render


@pytest.fixture(scope="session")
def study():
    return make_study()


@pytest.fixture(scope="session")
def files(study):
    return dict(render(study))


@pytest.fixture(scope="session")
def pages(files):
    return {path: content.decode() for path, content in files.items() if path.endswith(".html")}
