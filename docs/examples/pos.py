"""The least that a POS server does to be seen, restarted, reset and read by a Tillwatch connector."""
import datetime, http.server, json, logging, pathlib, signal, sqlite3, sys

folder = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1]) / "python-pos"
folder.mkdir(exist_ok=True)
logging.basicConfig(filename=folder / "pos.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
now = lambda: datetime.datetime.now(datetime.timezone.utc).isoformat()
database = sqlite3.connect(folder / "pos.db")
database.execute("CREATE TABLE IF NOT EXISTS made (at TEXT)")
database.execute("CREATE TABLE IF NOT EXISTS unsent (sale TEXT)")
database.execute("INSERT INTO made SELECT ? WHERE NOT EXISTS (SELECT * FROM made)", [now()])
database.commit()
exchange = {"last_success_at": None, "last_attempt_at": None, "error": None}


class Calls(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # GET /report
        one = lambda query: database.execute(query).fetchone()[0]
        about = {"created_at": one("SELECT at FROM made"), "size_bytes": (folder / "pos.db").stat().st_size,
                 "unsent_transactions": one("SELECT count(*) FROM unsent")}
        self.answer(200, {"pos_version": "34.5.2", "exchange": exchange, "database": about})

    def do_POST(self):  # POST /exchange: here a real one talks to its head office
        exchange["last_success_at"] = exchange["last_attempt_at"] = now()
        logging.info("exchange with the head office succeeded")
        self.answer(204, None)

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode() if body else b"")

    log_message = lambda self, *_: None


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.HTTPServer(("127.0.0.1", 0), Calls)
print(f"reporting on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
