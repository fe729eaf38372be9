from partwise.app import make_app
from partwise.config import Config
from partwise.errors import Failure, Issue, RuleFailed, SchemaInvalid
from partwise.intake.validators.base import Candidate, Validator, ValidatorFactory, Waiting
from partwise.run import CannotListen, serve
from partwise.workers import WorkersDied

__all__ = [
    "Candidate",
    "CannotListen",
    "Config",
    "Failure",
    "Issue",
    "RuleFailed",
    "SchemaInvalid",
    "Validator",
    "ValidatorFactory",
    "Waiting",
    "WorkersDied",
    "make_app",
    "serve",
]
