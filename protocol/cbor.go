package protocol

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// ErrMalformed is the class of every decoding failure: not CBOR, not
// deterministic, an unknown or missing field, a bound exceeded.
var ErrMalformed = errors.New("malformed message")

// Marshal encodes v as core deterministic CBOR (RFC 8949 section 4.2.1).
func Marshal(v any) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("cannot build CBOR encoder: %v", err)
	}
	return mode.Marshal(v)
}

// Unmarshal decodes data into v and refuses whatever Marshal would not have
// written: duplicate keys, unknown fields, indefinite lengths, tags, invalid
// UTF-8, non-shortest integers, unsorted maps, trailing bytes, more than max
// bytes. The check is a re-encoding: deterministic CBOR has one encoding per
// value, so bytes that differ are refused whatever their trick is.
func Unmarshal(data []byte, max int, v any) error { return decode(data, max, 4096, v) }

// decode is Unmarshal with a limit for the items of each array. It must be
// close to what the message can hold: an array of nulls costs its sender one
// byte per item and its receiver a struct. With 4096, a request of 8 MiB took
// 540 MB and half a minute before its bindings were counted (measured).
func decode(data []byte, max, items int, v any) error {
	if len(data) > max {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrMalformed, len(data), max)
	}
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		MaxNestedLevels:   8,
		MaxArrayElements:  items,
		MaxMapPairs:       64,
	}.DecMode()
	if err != nil {
		return fmt.Errorf("cannot build CBOR decoder: %v", err)
	}
	if err := mode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %s", ErrMalformed, safe(err))
	}
	again, err := Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrMalformed, safe(err))
	}
	if string(again) != string(data) {
		return fmt.Errorf("%w: not in deterministic encoding", ErrMalformed)
	}
	return nil
}

// safe bounds the text of a decoder's error: it may quote a part of the input.
func safe(err error) string {
	s := err.Error()
	if len(s) > 200 {
		s = s[:200]
	}
	if !utf8.ValidString(s) {
		s = "invalid input"
	}
	return s
}
