package fetch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxToken bounds what is read of the token file, bytes.
const maxToken = 4096

// readToken reads the host token: one word of ASCII, with whatever white
// space is around it. No error quotes it.
func readToken(path string) (string, error) {
	// O_NONBLOCK: opening a FIFO would wait for a writer for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxToken {
		return "", fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxToken)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New(path + " holds more than one word of ASCII")
	}
	return token, nil
}
