"""An external authenticator as docs/operations.md describes it: knows one user, makes no mistakes."""
import hashlib
import hmac
import http.server
import json
import sys
import time

secret, user, password = sys.argv[1:]


class Program(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        stamp = self.headers["Gadwall-Timestamp"]
        want = "v1=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(want, self.headers["Gadwall-Signature"]) or abs(time.time() - int(stamp)) > 300:
            self.send_error(403)
            return
        question = json.loads(body)
        allow = question["username"] == "ada" and question["password"] == password
        answer = json.dumps({"allow": allow, "username": user, "quota": {"storage": 1 << 20}, "name": "Ada"})
        print(question["protocol"], question["method"], question["address"], allow, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Program)
print("port", server.server_port, flush=True)
server.serve_forever()
