package masker_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestConfined looks at a real masker from outside, every thread of it.
func TestConfined(t *testing.T) {
	users := map[string]string{"own user": ""}
	if os.Geteuid() == 0 { // REQUIRE_SANDBOX has root test these
		users["nobody"], users["without passwd"] = as(nobodyUID), as(ordinaryUID)
	}
	for name, who := range users {
		t.Run(name, func(t *testing.T) {
			c := startAs(t, who)
			if !strings.HasPrefix(c.Level, "Landlock ABI ") || !strings.HasSuffix(c.Level, ", seccomp") {
				skip(t, "level is "+c.Level)
			}
			o := newOutput(t, "a", "") // with work behind it, and the threads for that
			o.take(t, c, 0, 0, 0)
			o.print(t, random(1<<20))
			logged(t, o.log, 1<<20)
			uid := uint32(os.Geteuid())
			if user, _ := wire.ParseUser(who); user != nil {
				uid = user.UID
			}
			checkThreads(t, c.PID, who == "" && uid != 0, map[string]string{
				"NoNewPrivs": "1", "Seccomp": "2", "CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "CapBnd": none,
				"Uid": fmt.Sprintf("%d %[1]d %[1]d %[1]d", uid),
			}, who != "")
			checkClosed(t, c.PID, uid)
		})
	}
}

const none = "0000000000000000"

// checkThreads: the bounding set stays where there is no right to drop it.
func checkThreads(t *testing.T, pid int, ordinary bool, want map[string]string, switched bool) {
	t.Helper()
	if ordinary || switched {
		delete(want, "CapBnd")
	}
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		got := status(t, path)
		for field, value := range want {
			if got[field] != value {
				t.Errorf("%s: %s is %s, want %s", path, field, got[field], value)
			}
		}
	}
}

// checkClosed: a neighbour of the same uid sees neither memory nor files.
func checkClosed(t *testing.T, pid int, uid uint32) {
	t.Helper()
	for _, file := range []string{"mem", "environ", "maps", "fd/4", "auxv", "exe", "cwd/etc"} {
		cmd := exec.Command("/usr/bin/head", "-c1", fmt.Sprintf("/proc/%d/%s", pid, file))
		if os.Geteuid() == 0 {
			if uid == 0 {
				return // root reads all memory
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Permission denied") {
			t.Errorf("uid %d reads %s: %v, %q", uid, file, err, out)
		}
	}
}

func status(t testing.TB, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = strings.Join(strings.Fields(value), " ")
	}
	return out
}

func rss(t testing.TB, pid int) string {
	t.Helper()
	return status(t, fmt.Sprintf("/proc/%d/status", pid))["VmRSS"]
}

// TestFilter runs the filter's program, for calls that no test can make:
// those of another architecture, and arguments with a bit in the upper half.
func TestFilter(t *testing.T) {
	const pid = 4711
	raw := make([]bpf.RawInstruction, 0, 128)
	for _, i := range masker.Filter(pid) {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	program, ok := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(program)
	if !ok || err != nil {
		t.Fatal(err)
	}
	const upper = 1 << 32
	allow, eperm, kill := uint32(unix.SECCOMP_RET_ALLOW), unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), uint32(unix.SECCOMP_RET_KILL_PROCESS)
	const thread = 0x50f00
	for name, x := range map[string]struct {
		arch, nr uint32
		args     [3]uint64
		want     uint32
	}{
		"read":               {masker.AuditArch, unix.SYS_READ, [3]uint64{}, allow},
		"i386":               {unix.AUDIT_ARCH_I386, unix.SYS_READ, [3]uint64{}, kill},
		"arm":                {unix.AUDIT_ARCH_ARM, unix.SYS_READ, [3]uint64{}, kill},
		"no arch":            {0, unix.SYS_READ, [3]uint64{}, kill},
		"x32":                {masker.AuditArch, unix.SYS_READ | 0x40000000, [3]uint64{}, eperm},
		"skipped by ptrace":  {masker.AuditArch, ^uint32(0), [3]uint64{}, eperm},
		"openat":             {masker.AuditArch, unix.SYS_OPENAT, [3]uint64{}, eperm},
		"memory":             {masker.AuditArch, unix.SYS_MMAP, [3]uint64{0, 0, unix.PROT_READ | unix.PROT_WRITE}, allow},
		"code":               {masker.AuditArch, unix.SYS_MMAP, [3]uint64{0, 0, unix.PROT_READ | unix.PROT_EXEC}, eperm},
		"code, upper bit":    {masker.AuditArch, unix.SYS_MMAP, [3]uint64{0, 0, upper | unix.PROT_EXEC}, eperm},
		"thread":             {masker.AuditArch, unix.SYS_CLONE, [3]uint64{thread}, allow},
		"thread with TLS":    {masker.AuditArch, unix.SYS_CLONE, [3]uint64{thread | unix.CLONE_SETTLS}, allow},
		"process":            {masker.AuditArch, unix.SYS_CLONE, [3]uint64{uint64(unix.SIGCHLD)}, eperm},
		"vfork":              {masker.AuditArch, unix.SYS_CLONE, [3]uint64{unix.CLONE_VM | unix.CLONE_VFORK}, eperm},
		"thread, namespace":  {masker.AuditArch, unix.SYS_CLONE, [3]uint64{thread | unix.CLONE_NEWUSER}, eperm},
		"clone3":             {masker.AuditArch, unix.SYS_CLONE3, [3]uint64{}, eperm},
		"our thread":         {masker.AuditArch, unix.SYS_TGKILL, [3]uint64{pid}, allow},
		"another's":          {masker.AuditArch, unix.SYS_TGKILL, [3]uint64{pid + 1}, eperm},
		"every process":      {masker.AuditArch, unix.SYS_KILL, [3]uint64{^uint64(0)}, eperm},
		"pipe's content":     {masker.AuditArch, unix.SYS_IOCTL, [3]uint64{0, unix.TIOCINQ}, allow},
		"type to a terminal": {masker.AuditArch, unix.SYS_IOCTL, [3]uint64{0, unix.TIOCSTI}, eperm},
		"and upper bit":      {masker.AuditArch, unix.SYS_IOCTL, [3]uint64{0, upper | unix.TIOCSTI}, eperm},
		"non-blocking":       {masker.AuditArch, unix.SYS_FCNTL, [3]uint64{0, unix.F_SETFL}, allow},
		"signals by fcntl":   {masker.AuditArch, unix.SYS_FCNTL, [3]uint64{0, unix.F_SETOWN}, eperm},
	} {
		data := binary.BigEndian.AppendUint32(nil, x.nr) // this VM reads network order
		data = binary.BigEndian.AppendUint32(data, x.arch)
		data = append(data, make([]byte, 8)...)
		for _, arg := range x.args {
			data = binary.BigEndian.AppendUint32(data, uint32(arg))
			data = binary.BigEndian.AppendUint32(data, uint32(arg>>32))
		}
		if got, err := vm.Run(data); uint32(got) != x.want || err != nil {
			t.Errorf("%s: %#x, %v, want %#x", name, got, err, x.want)
		}
	}
}

// TestHandled: no ABI is asked for more than it has, the kernel would refuse.
func TestHandled(t *testing.T) {
	for abi, want := range map[int][3]uint64{
		0: {0, 0, 0}, 1: {1<<13 - 1, 0, 0}, 2: {1<<14 - 1, 0, 0}, 3: {1<<15 - 1, 0, 0}, 4: {1<<15 - 1, 3, 0}, 5: {1<<16 - 1, 3, 0},
		6: {1<<16 - 1, 3, 3}, 8: {1<<16 - 1, 3, 3}, 9: {1<<17 - 1, 3, 3}, 10: {1<<17 - 1, 15, 3}, 99: {1<<17 - 1, 15, 3},
	} {
		if a := masker.Handled(abi, true); [3]uint64{a.Handled_access_fs, a.Handled_access_net, a.Scoped} != want {
			t.Errorf("ABI %d: %+v", abi, a)
		}
	}
	if a := masker.Handled(7, false); a.Scoped != unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET {
		t.Errorf("with erratum 2: %+v", a)
	}
}
