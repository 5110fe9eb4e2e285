"""A private MariaDB or MySQL server: own data folder, socket and port, on loopback only.

Takes a state folder, gives the address of a dedicated database and user. The system's own server,
if there is one, is left alone.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pymysql

from embedded import processes
from embedded.packages import install_database_server
from embedded.places import Places
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress, DatabaseSettings

NAME = "tidegauge"
USER = "tidegauge"
START_SECONDS = 60.0
INITIALISE_SECONDS = 180.0
MIN_FREE_BYTES = 400 * 1024 * 1024
# sun_path holds 108 bytes with its end mark on Linux, 104 on macOS.
MAX_SOCKET_BYTES = 100
_FOLDERS = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/local/mysql/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
    "/usr/bin",
)


def url_of(address: DatabaseAddress) -> str:
    """Return an address as `DATABASE_URL` wants it."""
    user, password = (quote(part, safe="") for part in (address.user, address.password))
    return f"mysql://{user}:{password}@{address.host}:{address.port}/{address.database}"


def make_database(address: DatabaseAddress) -> None:
    """Make the database that an address names, unless it is there.

    Raises:
        InvalidInput: the server does not answer, or refuses; says what to do.
    """
    name = address.database.replace("`", "``")
    settings = DatabaseSettings(database_url=url_of(address))
    try:
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            ssl=ssl.create_default_context() if settings.needs_tls(address) else None,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    except pymysql.err.OperationalError as error:
        msg = (
            f"the database {address.database} cannot be made on {address.host}: {error.args[-1]};"
            f" make it yourself and let {address.user} use it, or unset DATABASE_URL"
        )
        raise InvalidInput(msg) from error


@dataclass(frozen=True, slots=True)
class Server:
    """The programs of an installed server.

    Attributes:
        program: mariadbd or mysqld.
        installer: mariadb-install-db; None where the server initialises itself (MySQL).
    """

    program: str
    installer: str | None


def find_server() -> Server | None:
    """Return the database server on this machine, MariaDB first; None if there is none."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS])
    for name in ("mariadbd", "mysqld"):
        program = shutil.which(name, path=path)
        if program is None:
            continue
        told = subprocess.run(  # noqa: S603 - a server found above
            [program, "--no-defaults", "--version"], capture_output=True, text=True, check=False
        ).stdout
        if "MariaDB" not in told:
            return Server(program, None)
        installer = shutil.which("mariadb-install-db", path=path)
        installer = installer or shutil.which("mysql_install_db", path=path)
        # Debian has what the installer calls in a package of its own.
        if installer is not None and shutil.which("my_print_defaults", path=path):
            return Server(program, installer)
    return None


class Database:
    """The private server of one state folder.

    Args:
        places: Its folders.
        port: Port to listen on; 0 keeps the one it had, or chooses a free one.
        durable: False gives up what was committed in the last second if the machine dies; tests
            that commit a thousand times run several times faster so.
    """

    def __init__(self, places: Places, *, port: int = 0, durable: bool = True) -> None:
        self._home = places.state / "database"
        self._password_file = places.password
        self._log = places.logs / "database.log"
        self._install_log = places.logs / "database-install.log"
        self._record = places.state / "database.pid"
        self._port = port
        self._durable = durable

    def up(self) -> DatabaseAddress:
        """Start the server if it does not run, and return its address.

        Raises:
            InvalidInput: it cannot be installed, initialised or started; says what to do.
        """
        known = processes.running(self._record)
        if known is not None and self._password_file.exists():
            return self._address(known.port)
        processes.stop(self._record)
        server = self.install()
        self._make_room()
        self._initialise(server)
        port = self._choose_port()
        self._start(server, port)
        return self._address(port)

    def down(self) -> bool:
        """Stop the server and keep its data. Returns whether it ran."""
        return processes.stop(self._record)

    def address(self) -> DatabaseAddress | None:
        """Return the address of the running server; None if it does not run."""
        known = processes.running(self._record)
        return None if known is None else self._address(known.port)

    def is_own(self, address: DatabaseAddress) -> bool:
        """Return whether an address is that of this very server, running or not."""
        try:
            password = self._password_file.read_text().strip()
        except OSError:
            return False
        return address.host == processes.LOOPBACK and address.password == password

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _address(self, port: int) -> DatabaseAddress:
        password = self._password_file.read_text().strip()
        return DatabaseAddress(processes.LOOPBACK, port, USER, password, NAME)

    def install(self) -> Server:
        """Return the server on this machine, installed first if there is none.

        Raises:
            InvalidInput: it cannot be installed; says what to do.
        """
        server = find_server()
        if server is None:
            install_database_server(log=self._install_log)
            server = find_server()
        if server is None:
            msg = f"a database server was installed but is not found (see {self._install_log})"
            raise InvalidInput(msg)
        return server

    def _make_room(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(self._home).free
        if free < MIN_FREE_BYTES:
            msg = (
                f"the disk is full: the local database needs {MIN_FREE_BYTES >> 20} MB under"
                f" {self._home}, {free >> 20} MB are free"
            )
            raise InvalidInput(msg)

    def _initialise(self, server: Server) -> None:
        done = self._home / "initialised"
        if done.exists():
            return
        # Left by a run that was interrupted: half a data folder starts no server.
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        common = ["--no-defaults", f"--datadir={self._data}", f"--user={_user()}"]
        if server.installer is None:
            command = [server.program, *common, "--initialize-insecure"]
        else:
            normal = "--auth-root-authentication-method=normal"
            command = [server.installer, *common, normal, "--skip-test-db"]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            code = subprocess.run(  # noqa: S603 - a server found above
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                check=False,
                timeout=INITIALISE_SECONDS,
            ).returncode
        if code != 0:
            why = processes.reason_in(self._log)
            msg = f"the local database could not be made: {why} (the whole log: {self._log})"
            raise InvalidInput(msg)
        _write_private(self._password_file, secrets.token_urlsafe(24))
        done.touch()

    def _environment(self) -> dict[str, str]:
        # A server that starts removes all temporary tables of its folder, another server's too.
        scratch = self._home / "tmp"
        scratch.mkdir(exist_ok=True, mode=0o700)
        return {**os.environ, "TMPDIR": str(scratch)}

    def _choose_port(self) -> int:
        remembered = self._home / "port"
        if self._port:
            port = processes.choose_port(
                self._port, what="the database", setting="TIDEGAUGE_DATABASE_PORT"
            )
        else:
            port = _still_free(remembered) or processes.free_port()
        remembered.write_text(str(port))
        return port

    def _start(self, server: Server, port: int) -> None:
        socket = _socket_path(self._home)
        first_statements = self._home / "first.sql"
        _write_private(first_statements, self._first_statements())
        options = [
            "--no-defaults",
            f"--user={_user()}",
            f"--datadir={self._data}",
            f"--socket={socket}",
            f"--pid-file={self._home / 'server.pid'}",
            f"--bind-address={processes.LOOPBACK}",
            f"--port={port}",
            f"--init-file={first_statements}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--default-time-zone=+00:00",
            "--max-allowed-packet=64M",
            "--max-connections=200",
            "--innodb-buffer-pool-size=256M",
            f"--innodb-flush-log-at-trx-commit={1 if self._durable else 0}",
        ]
        if server.installer is None:
            options.append("--mysqlx=OFF")  # its second port would listen on every interface
        # A reason of an earlier start must not explain this one.
        self._log.unlink(missing_ok=True)
        processes.start(
            [server.program, *options],
            record=self._record,
            log=self._log,
            port=port,
            environment=self._environment(),
        )
        address = self._address(port)
        processes.wait_for(
            lambda: _answers(address, socket),
            record=self._record,
            what="the local database",
            log=self._log,
            seconds=START_SECONDS,
        )

    def _first_statements(self) -> str:
        """One statement a line, safe to run at every start."""
        password = self._password_file.read_text().strip()
        return "\n".join(
            (
                f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';",
                # MariaDB makes more of them, without a password.
                "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';",
                f"CREATE DATABASE IF NOT EXISTS {NAME} CHARACTER SET utf8mb4;",
                f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';",
                f"ALTER USER '{USER}'@'%' IDENTIFIED BY '{password}';",
                # Tests make databases of their own beside it: tidegauge_<name>.
                f"GRANT ALL ON `{NAME}%`.* TO '{USER}'@'%';",
                "",
            )
        )


def _answers(address: DatabaseAddress, socket: Path) -> bool:
    # Through the socket: MySQL remembers a password that it has seen on a safe way, and from then
    # on takes it over TCP without an exchange of keys, for which PyMySQL needs one more package.
    # Asked only when something listens, since PyMySQL leaves the socket of a vain try open.
    if not processes.listens(address.port):
        return False
    try:
        pymysql.connect(
            unix_socket=str(socket),
            user=address.user,
            password=address.password,
            database=address.database,
        ).close()
        pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
        ).close()
    except pymysql.err.OperationalError:
        return False
    return True


def _user() -> str:
    # Without --user the servers refuse to run as root.
    return pwd.getpwuid(os.geteuid()).pw_name


def _socket_path(home: Path) -> Path:
    inside = home / "server.sock"
    if len(os.fsencode(inside)) <= MAX_SOCKET_BYTES:
        return inside
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"tidegauge-{os.geteuid()}-{mark}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        msg = f"{folder} belongs to somebody else: set TMPDIR to a folder of your own"
        raise InvalidInput(msg)
    return folder / "server.sock"


def _still_free(remembered: Path) -> int:
    try:
        port = int(remembered.read_text())
        return processes.choose_port(port, what="the database", setting="")
    except (OSError, ValueError, InvalidInput):
        return 0


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
