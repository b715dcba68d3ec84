"""A real slapd for tests: a few schema elements of its own, entries from an LDIF text,
on ldap, ldaps and ldapi. start() and stop() may be repeated."""
import os
import shutil
import socket
import subprocess

from . import sqlservers

SUFFIX = "dc=example,dc=test"
ROOT_PW = "root-pw"
SCHEMA = next((d for d in ("/etc/ldap/schema", "/etc/openldap/schema") if os.path.isdir(d)), "")
MODULES = [d for d in ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap")
           if os.path.exists(f"{d}/back_mdb.so") or os.path.exists(f"{d}/back_mdb.la")]
STRING = "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch " \
    "SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
DN = "EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12"
# Everything below ou=closed is for those who logged in.
CONFIG = """
include {schema}/core.schema
include {schema}/cosine.schema
{modules}
attributeoptions range=
attributetype ( 1.1.2.1 NAME 'mailacceptinggeneralid' {string} )
attributetype ( 1.1.2.2 NAME 'maildrop' {string} )
attributetype ( 1.1.2.3 NAME 'mailbox' {string} )
attributetype ( 1.1.2.4 NAME 'memberdn' {dn} )
attributetype ( 1.1.2.5 NAME 'memberurl' {string} )
attributetype ( 1.1.2.6 NAME 'final' {string} )
objectclass ( 1.1.3.1 NAME 'mailThing' SUP top STRUCTURAL MUST cn MAY ( final $ maildrop $
  mailacceptinggeneralid $ mailbox $ memberdn $ memberurl $ userPassword $ description ) )
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/server.pem
TLSCertificateKeyFile {dir}/server.key
TLSVerifyClient {verify_client}
pidfile {dir}/pid
threads 4
database mdb
maxsize 10485760
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw {root_pw}
directory {dir}/data
dbnosync
sizelimit unlimited
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=closed,{suffix}" by users read by * none
access to * by * read
"""


class Slapd(sqlservers.Server):
    @staticmethod
    def missing():
        if not shutil.which("slapd") or not shutil.which("slapadd"):
            return "slapd is not installed"
        if not SCHEMA:
            return "the schema files of slapd are not where they are expected"

    def __init__(self, folder, ldif, verify_client="never"):
        super().__init__(folder)
        self.tls_port = sqlservers.free_port()
        self.socket = f"{folder}/ldapi"
        self.ldapi = "ldapi://" + self.socket.replace("/", "%2F")
        self.url, self.tls_url = f"ldap://127.0.0.1:{self.port}", \
            f"ldaps://127.0.0.1:{self.tls_port}"
        os.mkdir(f"{folder}/data")
        modules = "".join(f"modulepath {d}\nmoduleload back_mdb\n" for d in MODULES[:1])
        with open(f"{folder}/slapd.conf", "w") as f:
            f.write(CONFIG.format(schema=SCHEMA, modules=modules, string=STRING, dn=DN,
                                  dir=folder, verify_client=verify_client, suffix=SUFFIX,
                                  root_pw=ROOT_PW))
        with open(f"{folder}/entries.ldif", "w") as f:
            f.write(ldif)
        self.own()
        self.run([shutil.which("slapadd"), "-q", "-f", f"{folder}/slapd.conf",
                  "-l", f"{folder}/entries.ldif"])

    def command(self):
        return [shutil.which("slapd"), "-f", f"{self.dir}/slapd.conf", "-d", "0", "-h",
                " ".join(url + "/" for url in (
                    self.url, self.tls_url, self.ldapi,
                    # An address that the certificate does not have.
                    *(u.replace("127.0.0.1", "127.0.0.2") for u in (self.url, self.tls_url))))]

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0
