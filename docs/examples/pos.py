"""The least that a POS server does to be seen, restarted, reset and read by a Tillwatch connector."""
import argparse, datetime, http.server, json, logging, pathlib, signal, sqlite3, sys

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", type=pathlib.Path, required=True)
folder = parser.parse_args().data_dir / "python-pos"
folder.mkdir(exist_ok=True)
logging.basicConfig(filename=folder / "pos.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
database = folder / "pos.db"
tables = sqlite3.connect(database)
tables.execute("CREATE TABLE IF NOT EXISTS made (at TEXT)")
tables.execute("CREATE TABLE IF NOT EXISTS unsent (sale TEXT)")
now = lambda: datetime.datetime.now(datetime.timezone.utc).isoformat()
tables.execute("INSERT INTO made SELECT ? WHERE NOT EXISTS (SELECT 1 FROM made)", [now()])
tables.commit()
exchanged_at = None


class Calls(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        one = lambda query: tables.execute(query).fetchone()[0]
        self.answer(404 if self.path != "/report" else 200, {
            "pos_version": "34.5.2",
            "exchange": {"last_success_at": exchanged_at, "last_attempt_at": exchanged_at, "error": None},
            "database": {"created_at": one("SELECT at FROM made"), "size_bytes": database.stat().st_size,
                         "unsent_transactions": one("SELECT count(*) FROM unsent")}})

    def do_POST(self):
        global exchanged_at
        exchanged_at = now()  # Here a real one exchanges with its head office.
        logging.info("exchange with the head office succeeded")
        self.answer(204)

    def answer(self, status, body=None):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode() if body else b"")

    log_message = lambda self, *_: None


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.HTTPServer(("127.0.0.1", 0), Calls)
print(f"reporting on http://127.0.0.1:{server.server_port}", flush=True)
logging.info("started")
server.serve_forever()
