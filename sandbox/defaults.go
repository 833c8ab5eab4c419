package sandbox

import ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

// Rights of the default rules.
const (
	readFile = ll.AccessFSReadFile
	readTree = ll.AccessFSReadFile | ll.AccessFSReadDir
	execTree = readTree | ll.AccessFSExecute
	device   = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSIoctlDev
	allFiles = readTree | ll.AccessFSExecute | ll.AccessFSWriteFile | ll.AccessFSRemoveDir | ll.AccessFSRemoveFile |
		ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym |
		ll.AccessFSRefer | ll.AccessFSTruncate
	// A plugin finds a free name with a file, which it removes again.
	socketOnly = ll.AccessFSMakeSock | ll.AccessFSMakeReg | ll.AccessFSRemoveFile | ll.AccessFSReadFile | ll.AccessFSWriteFile
)

// rule opens one path. why is its reason, for people who read or explain the
// policy.
type rule struct {
	path   string
	rights uint64
	why    string
}

// systemRules are what every confined agent may use of the host. A path that
// does not exist is left out. Nothing here can be written but devices that keep
// nothing.
var systemRules = [...]rule{
	{"/usr", execTree, "programs, libraries and their data"},
	{"/bin", execTree, "programs, where it is no link to /usr"},
	{"/sbin", execTree, "programs, where it is no link to /usr"},
	{"/lib", execTree, "libraries, where it is no link to /usr"},
	{"/lib32", execTree, "libraries, where it is no link to /usr"},
	{"/lib64", execTree, "the dynamic loader, where it is no link to /usr"},
	{"/nix/store", execTree, "programs and libraries of NixOS"},

	{"/etc/ld.so.cache", readFile, "the dynamic loader's index"},
	{"/etc/ld.so.conf", readFile, "the dynamic loader's paths"},
	{"/etc/ld.so.conf.d", readTree, "the dynamic loader's paths"},
	{"/etc/ld.so.preload", readFile, "the dynamic loader asks for it on every start"},
	{"/etc/alternatives", execTree, "Debian's links to programs"},
	{"/etc/passwd", readFile, "names of uids; no password is in it"},
	{"/etc/group", readFile, "names of gids"},
	{"/etc/nsswitch.conf", readFile, "where libc looks names up"},
	{"/etc/hosts", readFile, "host names"},
	{"/etc/host.conf", readFile, "host names"},
	{"/etc/resolv.conf", readFile, "name servers"},
	{"/etc/gai.conf", readFile, "address preference"},
	{"/etc/services", readFile, "names of ports"},
	{"/etc/protocols", readFile, "names of protocols"},
	{"/etc/localtime", readFile, "the time zone"},
	{"/etc/timezone", readFile, "the time zone"},
	{"/etc/os-release", readFile, "which system this is"},
	{"/etc/debian_version", readFile, "which system this is"},
	{"/etc/ssl", readTree, "certificate authorities; private keys there are root's alone"},
	{"/etc/pki", readTree, "certificate authorities on Fedora"},
	{"/etc/ca-certificates", readTree, "certificate authorities"},
	{"/etc/mime.types", readFile, "types of files"},
	{"/etc/gitconfig", readFile, "git's system-wide settings"},
	{"/etc/bash.bashrc", readFile, "bash's system-wide settings"},
	{"/etc/profile", readFile, "the shell's system-wide settings"},
	{"/etc/inputrc", readFile, "readline's settings"},
	{"/etc/ssh/ssh_config", readFile, "the ssh client's settings"},
	{"/etc/ssh/ssh_config.d", readTree, "the ssh client's settings"},
	{"/run/systemd/resolve", readTree, "what /etc/resolv.conf usually links to"},

	{"/proc", readTree, "runtimes look at themselves; other agents' memory and environment stay closed, as Landlock domains may not trace one another"},
	{"/sys/devices/system/cpu", readTree, "how many processors there are"},
	{"/sys/fs/cgroup", readTree, "how much memory there is; runtimes size their heaps by it"},
	{"/sys/kernel/mm/transparent_hugepage", readTree, "allocators ask for it"},

	{"/dev/null", device, "keeps nothing"},
	{"/dev/zero", device, "keeps nothing"},
	{"/dev/full", device, "keeps nothing"},
	{"/dev/random", device, "random numbers"},
	{"/dev/urandom", device, "random numbers"},
	{"/dev/tty", device, "an agent has no terminal, but programs try"},
	{"/dev/ptmx", device, "programs that run others in a terminal"},
	{"/dev/pts", device | ll.AccessFSReadDir, "programs that run others in a terminal"},
}

// ownRules are an agent's own directories.
func ownRules(p *Policy, at *Places) []rule {
	rules := []rule{{at.Tmp, allFiles, "its private TMPDIR"}}
	if p.Profile == ProfilePlugin {
		return append(rules, rule{at.Socket, socketOnly, "where the launcher looks for its socket"})
	}
	if p.Profile == ProfileStrict {
		return append(rules, rule{at.Dir, readTree, "its working directory"}, rule{at.Home, readTree, "its private HOME"})
	}
	return append(rules, rule{at.Dir, allFiles, "its working directory"}, rule{at.Home, allFiles, "its private HOME"})
}
