package memscan

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tree scans every regular file at or below root. It follows no symlink.
func (s *scanner) tree(root string) {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path != root && errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile
		case err != nil:
			s.fail("tree", path, err)
			return nil
		}
		if absolute, err := filepath.Abs(path); err == nil && s.skip[absolute] {
			return nil
		}
		if entry.Type().IsRegular() {
			s.file(path)
		}
		return nil
	})
	if err != nil {
		s.fail("tree", root, err)
	}
}

func (s *scanner) file(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return // removed or closed meanwhile
	}
	if err != nil {
		s.fail("file", path, err)
		return
	}
	defer f.Close()
	place := "file " + path
	if target, err := os.Readlink(path); err == nil {
		place += " -> " + target
	}
	s.stream(place, 0, f)
	s.report.Files++
}

// stream searches r and reports what is in it. Offsets count from start.
func (s *scanner) stream(place string, start uint64, r io.Reader) {
	seen, total, err := s.needles.stream(r, s.buffer)
	s.report.Bytes += total
	if err != nil {
		s.fail("contents of", place, err)
	}
	for _, one := range seen {
		s.report.Hits = append(s.report.Hits, Hit{
			Place: place, Form: one.form, Canary: one.canary, Count: one.count, First: start + one.first,
		})
	}
}
