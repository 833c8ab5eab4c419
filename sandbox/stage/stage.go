// Package stage is the small process between a sealed bundle and an agent: it
// opens the bundle in locked memory, gives up what the agent shall not have
// and becomes the agent by execve(2). Its address space, and with it the host
// key and every value, ends in that call.
//
// It imports almost nothing (a test pins the list), logs nothing and sends no
// text: a failure travels as a step and a number. sandbox starts it.
package stage

import (
	"errors"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/sandbox/stage/forms"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Main is the whole life of a stage, from top to bottom. It never returns:
// it becomes the agent or exits with status 125.
func Main() {
	// Credentials, no_new_privs, Landlock and seccomp are per-thread on Linux: the thread that sets them must be the one that
	// calls execve.
	runtime.LockOSThread()
	defer func() {
		if recover() != nil { // a panic's text could quote memory
			fail(wire.StepBug, 0)
		}
	}()

	// 1. First of all: from here on no crash writes memory anywhere, and no
	//    neighbour of the same uid may look into this process.
	must(wire.StepCore, forbidCores())

	// 2. Whatever the agent will start can be found again: in its cgroup, or
	//    below its pid.
	must(wire.StepCgroup, joinCgroup())

	// 3. Nothing secret is read before the run record is on disk.
	spec := readSpec()
	orders := waitForGo()

	// 4. The values appear, in memory that is neither swapped nor dumped. The
	//    masker gets fingerprints of them.
	memory := wire.MemorySecret
	var secrets []*byte
	if spec.Bundle != nil {
		memory, secrets = openBundle(spec.Bundle)
	}

	// 5. Become the agent's user and give everything else up. The bounding set
	//    goes first, because dropping it needs CAP_SETPCAP; the directory
	//    is entered with the agent's rights, not ours.
	must(wire.StepRlimits, setRlimits(spec.Rlimits))
	must(wire.StepKeyring, leaveKeyring())
	must(wire.StepCapabilities, harden.DropBounding(harden.ThisThread))
	if orders.User != nil {
		must(wire.StepGroups, setGroups(orders.User))
		must(wire.StepUser, setUser(orders.User))
	}
	must(wire.StepCapabilities, harden.DropCapabilities(harden.ThisThread))
	must(wire.StepKeeper, dieWith(orders.Keeper))
	must(wire.StepPrivileges, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	must(wire.StepDir, unix.Chdir(spec.Dir))
	resetSignals()
	unix.Umask(int(spec.Umask))
	if spec.Landlock {
		must(wire.StepLandlock, landlock(wire.FDRuleset))
		proveConfined()
	}

	// 6. Only 0, 1 and 2 stay open. The filter comes last, as it denies some of
	//    the above.
	must(wire.StepClose, unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC))
	if len(spec.Seccomp) > 0 {
		must(wire.StepSeccomp, loadFilter(spec.Seccomp))
	}
	_, _ = unix.Write(wire.FDStatus, []byte{wire.Ready, byte(memory)})
	execute(spec, secrets)
}

func readSpec() *wire.Spec {
	var st unix.Stat_t
	must(wire.StepSpec, unix.Fstat(wire.FDSpec, &st))
	if st.Size <= 0 || st.Size > wire.MaxSpecSize {
		fail(wire.StepSpec, wire.CodeMalformed)
	}
	data := make([]byte, st.Size)
	n, err := unix.Pread(wire.FDSpec, data, 0)
	must(wire.StepSpec, err)
	spec, err := wire.DecodeSpec(data[:n])
	if err != nil {
		fail(wire.StepSpec, wire.CodeMalformed)
	}
	return spec
}

// waitForGo returns the keeper's orders. EOF instead means that the launcher or
// the keeper is gone, silence that one hangs: in both cases no record is certain.
func waitForGo() *wire.Orders {
	deadline := time.Now().Add(wire.GoTimeout)
	var data []byte
	for chunk := make([]byte, 4096); ; {
		await(wire.FDGo, deadline)
		n, err := unix.Read(wire.FDGo, chunk)
		must(wire.StepGo, err)
		data = append(data, chunk[:n]...)
		if n == 0 || len(data) > wire.MaxOrders {
			break
		}
	}
	if len(data) == 0 || data[0] != wire.Go {
		fail(wire.StepGo, uint32(unix.EPIPE))
	}
	orders, err := wire.DecodeOrders(data[1:])
	if err != nil {
		fail(wire.StepGo, wire.CodeMalformed)
	}
	return orders
}

// await waits until fd can be read.
func await(fd int32, deadline time.Time) {
	fds := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			fail(wire.StepGo, uint32(unix.ETIMEDOUT))
		}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		if err == unix.EINTR || err == nil && n == 0 {
			continue
		}
		must(wire.StepGo, err)
		return
	}
}

// openBundle opens the bundle into locked memory and returns the pointers to
// its NAME=value strings there.
func openBundle(b *protocol.Bundle) (wire.Memory, []*byte) {
	size := b.Meta.PlaintextSize()
	if b.Validate() != nil {
		fail(wire.StepOpen, wire.CodeMalformed)
	}
	locked, memory, err := lockedMemory(keyLineSize + seedSize + forms.ScratchSize + size + 1)
	must(wire.StepMemory, err)
	key := readKey(locked[:keyLineSize:keyLineSize], locked[keyLineSize:keyLineSize+seedSize:keyLineSize+seedSize])
	scratch, dst := locked[keyLineSize+seedSize:][:forms.ScratchSize], locked[keyLineSize+seedSize+forms.ScratchSize:]
	block, err := open.Open(key, b.Meta, b.Sealed, time.Now(), dst)
	if err != nil {
		clear(locked)
		fail(wire.StepOpen, openCode(err))
	}
	must(wire.StepPrints, writePrints(&b.Meta, block, scratch))
	return memory, pointers(&b.Meta, block)
}

// writePrints leaves in FDPrints by what the masker knows the values, sealed
// against change, before anything can be printed.
func writePrints(m *protocol.Meta, block, scratch []byte) error {
	maker := forms.NewMaker(scratch)
	for _, r := range m.Refs {
		value := block[len(r.Name)+1:][:r.Length]
		maker.Add(r.Name, value)
		block = block[len(r.Name)+1+int(r.Length)+1:]
	}
	if prints := maker.Fingerprints(); prints != nil {
		for data := prints.Encode(); len(data) > 0; {
			n, err := unix.Write(wire.FDPrints, data)
			if err != nil && err != unix.EINTR {
				return err
			}
			data = data[max(n, 0):]
		}
	}
	_, err := unix.FcntlInt(wire.FDPrints, unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return err
}

// Sizes of the scratch areas before the environment block.
const (
	keyLineSize = 256 // the key line has 77 bytes and a newline
	seedSize    = 64
)

// readKey reads the host key with pread, as the file offset is shared with
// every other stage of this host.
func readKey(line, seed []byte) *open.Key {
	n, err := unix.Pread(wire.FDKey, line, 0)
	must(wire.StepKey, err)
	key, err := open.ParseKey(line[:n], seed)
	clear(line)
	if err != nil {
		fail(wire.StepKey, wire.CodeKey)
	}
	return key
}

func openCode(err error) uint32 {
	for _, c := range []struct {
		err  error
		code uint32
	}{
		{open.ErrExpired, wire.CodeExpired},
		{open.ErrNotOpen, wire.CodeNotOpen},
		{open.ErrStructure, wire.CodeStructure},
		{protocol.ErrKeyID, wire.CodeKeyID},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return wire.CodeMalformed
}

// pointers finds the start of every NAME=value string: the block's structure
// was checked against the metadata when it was opened.
func pointers(m *protocol.Meta, block []byte) []*byte {
	out := make([]*byte, 0, len(m.Refs)+1)
	for _, r := range m.Refs {
		out = append(out, &block[0])
		block = block[len(r.Name)+1+int(r.Length)+1:]
	}
	return out
}

// execute becomes the agent, as execvp(3) would find it: a missing candidate
// moves on to the next, a forbidden one is remembered.
func execute(spec *wire.Spec, secrets []*byte) {
	argv, err := syscall.SlicePtrFromStrings(spec.Argv)
	must(wire.StepExec, err)
	envp, err := syscall.SlicePtrFromStrings(spec.Env)
	must(wire.StepExec, err)
	envp = append(append(envp[:len(spec.Env)], secrets...), nil)
	if spec.Program {
		executeFile(argv, envp)
	}
	last := unix.ENOENT
	for _, path := range spec.Paths {
		p, err := syscall.BytePtrFromString(path)
		must(wire.StepExec, err)
		_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])))
		switch errno {
		case unix.ENOENT, unix.ENOTDIR:
			continue
		case unix.EACCES:
			last = errno
			continue
		}
		fail(wire.StepExec, uint32(errno))
	}
	fail(wire.StepExec, uint32(last))
}

// executeFile becomes the program that came as a file: it is what was looked at,
// whatever lies at its path by now.
func executeFile(argv, envp []*byte) {
	var empty byte
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, wire.FDProgram, uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	fail(wire.StepExec, uint32(errno))
}

func must(step wire.Step, err error) {
	if err == nil {
		return
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = unix.EINVAL
	}
	fail(step, uint32(errno))
}

func fail(step wire.Step, code uint32) {
	_, _ = unix.Write(wire.FDStatus, (&wire.Failure{Step: step, Code: code}).Encode())
	unix.Exit(125)
}
