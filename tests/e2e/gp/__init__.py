"""Library of the whole-system tests; see tests/e2e/README."""
from .dns import Dns, ScriptDns
from . import localmail
from .localmail import Local
from .maillog import LogLine, difference, normal
from .mta import Gatepost, Peer
from .queue import maildir, mbox, queue_files, records
from .sandbox import Sandbox, is_root
from .smtpclient import Reply, SmtpClient, converse
from .smtpserver import ScriptServer, SmtpServer

__all__ = ["Dns", "Gatepost", "Local", "LogLine", "Peer", "Reply", "Sandbox", "ScriptDns",
           "ScriptServer", "SmtpClient", "SmtpServer", "converse", "difference",
           "is_root", "localmail", "maildir", "mbox", "normal", "queue_files", "records"]
