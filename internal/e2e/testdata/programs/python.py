# subprocess, threads, temporary files, processes with a pipe, a terminal, and
# the libraries with C parts.
import multiprocessing, os, pty, sqlite3, ssl, subprocess, sys, tempfile, threading


def answer(pipe):
    pipe.send("hello")


if __name__ == "__main__":
    print("subprocess", subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout.strip())
    print("shell", subprocess.check_output("echo $((1 + 1)) | cat", shell=True, text=True).strip())
    with tempfile.TemporaryDirectory() as tmp:
        print("tempfile", os.path.dirname(tmp) == os.environ["TMPDIR"])
        with sqlite3.connect(os.path.join(tmp, "db")) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE t (x)")
            db.execute("INSERT INTO t VALUES ('row')")
            print("sqlite", *db.execute("SELECT x FROM t").fetchone())
    print("ssl", ssl.create_default_context().verify_mode.name)
    results = []
    thread = threading.Thread(target=lambda: results.append("done"))
    thread.start()
    thread.join()
    print("thread", *results)
    spawn = multiprocessing.get_context("spawn")
    receive, send = spawn.Pipe(duplex=False)
    process = spawn.Process(target=answer, args=(send,))
    process.start()
    print("multiprocessing", receive.recv())
    process.join()
    sys.stdout.flush()
    pty.spawn([sys.executable, "-c", "import os; print('terminal', os.isatty(1))"])
