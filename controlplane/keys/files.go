package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile bounds what is read of a key file, bytes.
const maxKeyFile = 4096

// LoadMaster reads the master key from path: one line, base64 of 32 bytes.
func LoadMaster(path string) (*Master, error) {
	key, err := read(path)
	defer clear(key)
	if err != nil {
		return nil, fmt.Errorf("cannot use master key %s: %w", path, err)
	}
	return NewMaster(key)
}

// LoadSigning reads the Ed25519 key that signs replies: one line, base64 of
// its seed.
func LoadSigning(path string) (ed25519.PrivateKey, error) {
	seed, err := read(path)
	defer clear(seed)
	if err != nil {
		return nil, fmt.Errorf("cannot use signing key %s: %w", path, err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Ensure makes a file with a new random key at path unless there is a file.
func Ensure(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, Size)
	defer clear(key)
	rand.Read(key) // never fails: crypto/rand aborts the process instead
	line := append(base64.StdEncoding.AppendEncode(nil, key), '\n')
	defer clear(line)
	return WriteFile(path, line)
}

// WriteFile puts data at path with mode 0600, on disk when it returns: either
// whole or not at all. It replaces what is there.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// read reads a key file that nobody else may read.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular() || info.Size() > maxKeyFile:
		return nil, errors.New("not a key file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("mode %04o lets others read it: chmod 600", info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	defer clear(data)
	if err != nil {
		return nil, cause(err)
	}
	return decode(data)
}

// decode never quotes its input.
func decode(data []byte) ([]byte, error) {
	for len(data) > 0 && (data[len(data)-1] == '\n' || data[len(data)-1] == '\r') {
		data = data[:len(data)-1]
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Strict().Decode(key, data)
	if err != nil || n != Size {
		clear(key)
		return nil, fmt.Errorf("not one line with the base64 form of %d bytes, as openssl rand -base64 %d prints", Size, Size)
	}
	return key[:n], nil
}

// cause drops the path, which the caller names.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
