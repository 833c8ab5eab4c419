package stage

import (
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Keygen makes a host key: the private half into a new file at path with mode
// 0600, the public half as one line for the operator to register. It never
// replaces a file: a host key that is lost locks the host out.
func Keygen(path string) (public string, err error) {
	if err := forbidCores(); err != nil {
		return "", fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return "", fmt.Errorf("cannot make a host key: %w", err)
	}
	seed, err := key.Bytes()
	if err != nil {
		return "", fmt.Errorf("cannot make a host key: %w", err)
	}
	line := make([]byte, 0, 128)
	line = append(line, protocol.PrivateKeyPrefix...)
	line = append(base64.RawURLEncoding.AppendEncode(line, seed), '\n')
	clear(seed)
	defer clear(line)
	if err := writeNew(path, line); err != nil {
		return "", fmt.Errorf("cannot write host key: %w", err)
	}
	return protocol.FormatKey(protocol.PublicKeyPrefix, key.PublicKey().Bytes()), nil
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
