// fork with a channel (a socketpair), exec, workers, files, a watcher, TCP on
// loopback, TLS and WebAssembly (which maps executable memory).
const {fork, execFileSync, execSync} = require("node:child_process")
const {Worker, isMainThread, parentPort} = require("node:worker_threads")
const fs = require("node:fs"), net = require("node:net"), os = require("node:os"), path = require("node:path")
const once = require("node:events").once

async function main() {
  const child = fork(__filename, ["child"])
  child.send(6)
  console.log("fork", (await once(child, "message"))[0])
  child.disconnect()
  await once(child, "exit")

  console.log("exec", execSync("echo shell | cat").toString().trim(), execFileSync(process.execPath, ["-p", "1+1"]).toString().trim())

  const worker = new Worker(__filename)
  console.log("worker", (await once(worker, "message"))[0])

  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "node-"))
  const watcher = fs.watch(dir)
  const changed = once(watcher, "change")
  await fs.promises.writeFile(path.join(dir, "file"), "content")
  await changed
  watcher.close()
  fs.renameSync(path.join(dir, "file"), path.join(dir, "moved"))
  console.log("fs", fs.readFileSync(path.join(dir, "moved"), "utf8"), path.dirname(dir) === process.env.TMPDIR)

  const server = net.createServer(socket => socket.end("tcp"))
  await once(server.listen(0, "127.0.0.1"), "listening")
  console.log((await once(net.connect(server.address().port, "127.0.0.1"), "data"))[0].toString(), "on loopback")
  server.close()

  const wasm = await WebAssembly.instantiate(Buffer.from("0061736d010000000105016000017f03020100070501016600000a06010400412a0b", "hex"))
  console.log("wasm", wasm.instance.exports.f())
  console.log("os", os.cpus().length > 0, os.totalmem() > 0, os.homedir() === process.env.HOME, require("node:tls").rootCertificates.length > 0)
}

if (!isMainThread) parentPort.postMessage("hello")
else if (process.argv[2] === "child") process.on("message", n => process.send(n * 7))
else main()
