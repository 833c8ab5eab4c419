package plugins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxImage bounds a plugin's file, in bytes. The copy of it is charged to the
// daemon's cgroup and cannot be dropped as a file's pages can.
const maxImage = 256 << 20

// image is a plugin's program as it was checked: a copy in memory that nobody
// can change, so that what runs is what was hashed, whatever becomes of the
// file. The copy lives as long as a process that runs it.
//
// A script is run from its path: its interpreter reads the file by itself,
// and other files beside it, of which a hash of this one says nothing.
type image struct {
	name, path string
	sum        [sha256.Size]byte
	file       *os.File // a sealed memfd; nil: a script
}

func (i *image) close() {
	if i.file != nil {
		_ = i.file.Close() // only read
	}
}

// load reads a plugin's file once, and checks owner, mode and pin of what it
// has read. The error is *Error.
func (h *Host) load(name string) (*image, error) {
	path, err := h.find(name)
	if err != nil {
		return nil, err
	}
	fail := func(message, hint string) error {
		return &Error{Plugin: name, Kind: KindStart, Message: clean(message, maxMessage), Hint: hint}
	}
	f, err := h.opts.Open(path)
	if err != nil {
		return nil, fail("not to be trusted: "+err.Error(), hintOf(err))
	}
	defer f.Close() // only read
	img := &image{name: name, path: path}
	if img.file, err = sealed(f, name); err != nil {
		return nil, fail("cannot read it: "+err.Error(), hintOf(err))
	}
	if img.sum, err = sumOf(img.file); err != nil {
		img.close()
		return nil, fail("cannot read it: "+err.Error(), "")
	}
	pin, pinned := h.opts.Pins[name]
	if pinned && pin != img.sum {
		img.close()
		return nil, fail(fmt.Sprintf("its file is not the pinned one: want SHA-256 %s, got %s", hexOf(pin), hexOf(img.sum)),
			"put the pinned version back, or pin the new one: plugins."+name+".sha256 in config.json")
	}
	if !isScript(img.file) {
		return img, nil
	}
	img.close()
	img.file = nil
	if pinned {
		return nil, fail("it is a script, which cannot be pinned: its interpreter opens it again, and files that no hash covers",
			"pin a compiled plugin, or remove plugins."+name+" from config.json")
	}
	return img, nil
}

// sealed copies an executable file into memory that cannot be changed any more.
func sealed(f *os.File, name string) (*os.File, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o111 == 0:
		return nil, errors.New("it is not executable")
	case info.Size() > maxImage:
		return nil, fmt.Errorf("%d bytes, limit %d", info.Size(), maxImage)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all of them are executable
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make executable memory (is vm.memfd_noexec 2?): %w", err)
	}
	mem := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(mem, io.LimitReader(f, maxImage)) // a file that grows meanwhile is cut, and no program
	if err == nil {
		_, err = unix.FcntlInt(mem.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	return mem, nil
}

// sumOf hashes what was sealed, not what was read before.
func sumOf(mem *os.File) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, io.NewSectionReader(mem, 0, maxImage))
	hash.Sum(sum[:0])
	return sum, err
}

func isScript(mem *os.File) bool {
	head := make([]byte, 2)
	n, _ := mem.ReadAt(head, 0) // shorter ones are no scripts
	return bytes.Equal(head[:n], []byte("#!"))
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Verify reports why a plugin would not be started, without starting it: it is
// missing, others can change it, or it is not the pinned one. The error is
// *Error.
func (h *Host) Verify(name string) error {
	img, err := h.load(name)
	if err != nil {
		return err
	}
	img.close()
	return nil
}

// hexOf is a hash as people compare it.
func hexOf(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }
