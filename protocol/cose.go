package protocol

import "fmt"

// COSE numbers (RFC 9052, RFC 9053, draft-ietf-cose-hpke-20).
const (
	headerAlg = 1
	headerKID = 4
	headerEK  = -4 // HPKE encapsulated key

	// AlgA256GCM is the content encryption.
	AlgA256GCM = 3
	// AlgHPKE is HPKE key encryption with the KEM MLKEM768-X25519, HKDF-SHA256
	// and AES-256-GCM: from COSE's private-use range (below -65536) until one
	// is registered for this KEM.
	AlgHPKE = -65793
)

// Envelope is a COSE_Encrypt (RFC 9052 section 5.1, untagged) with one
// recipient in HPKE key encryption mode.
type Envelope struct {
	_          struct{} `cbor:",toarray"`
	Protected  []byte   // encoded map {1: AlgA256GCM}
	Header     ContentHeader
	Ciphertext []byte // environment block, AES-256-GCM with 16 bytes of tag
	Recipients []Recipient
}

// ContentHeader is the unprotected header of the content layer.
type ContentHeader struct {
	IV []byte `cbor:"5,keyasint"` // 12 bytes
}

// Recipient is the COSE_recipient that carries the content key.
type Recipient struct {
	_          struct{} `cbor:",toarray"`
	Protected  []byte   // encoded map {1: AlgHPKE, 4: key id}
	Header     RecipientHeader
	Ciphertext []byte // content key, sealed by HPKE
}

// RecipientHeader is the unprotected header of the recipient.
type RecipientHeader struct {
	EK []byte `cbor:"-4,keyasint"` // HPKE encapsulated key
}

// IVSize and content key size of AES-256-GCM, bytes.
const (
	IVSize         = 12
	ContentKeySize = 32
	TagSize        = 16
)

// ContentProtected is the protected header of the content layer.
func ContentProtected() ([]byte, error) {
	return Marshal(map[int]any{headerAlg: AlgA256GCM})
}

// RecipientProtected is the protected header of the recipient.
func RecipientProtected(keyID []byte) ([]byte, error) {
	return Marshal(map[int]any{headerAlg: AlgHPKE, headerKID: keyID})
}

// ContentAAD is the Enc_structure (RFC 9052 section 5.3) that the content
// encryption covers: its external_aad is the encoded metadata.
func ContentAAD(m *Meta) ([]byte, error) {
	protected, meta, err := protectedAndMeta(ContentProtected, m)
	if err != nil {
		return nil, err
	}
	return Marshal([]any{"Encrypt", protected, meta})
}

// RecipientInfo is the Recipient_structure (draft-ietf-cose-hpke section on
// key encryption) that becomes the HPKE info: its recipient_extra_info is the
// encoded metadata.
func RecipientInfo(m *Meta) ([]byte, error) {
	protected, meta, err := protectedAndMeta(func() ([]byte, error) { return RecipientProtected(m.KeyID) }, m)
	if err != nil {
		return nil, err
	}
	return Marshal([]any{"HPKE Recipient", AlgA256GCM, protected, meta})
}

func protectedAndMeta(protected func() ([]byte, error), m *Meta) (p, meta []byte, err error) {
	if p, err = protected(); err != nil {
		return nil, nil, err
	}
	meta, err = Marshal(m)
	return p, meta, err
}

// DecodeEnvelope decodes the sealed part of a bundle. The headers must be the
// ones this protocol writes for keyID: nothing is negotiated.
func DecodeEnvelope(data, keyID []byte) (*Envelope, error) {
	var e Envelope
	if err := decode(data, MaxPlaintextSize+4096, maxItems, &e); err != nil {
		return nil, err
	}
	content, err := ContentProtected()
	if err != nil {
		return nil, err
	}
	recipient, err := RecipientProtected(keyID)
	if err != nil {
		return nil, err
	}
	switch {
	case len(e.Recipients) != 1:
		return nil, fmt.Errorf("%w: %d recipients, want 1", ErrMalformed, len(e.Recipients))
	case string(e.Protected) != string(content) || len(e.Header.IV) != IVSize:
		return nil, fmt.Errorf("%w: unknown content algorithm", ErrMalformed)
	case string(e.Recipients[0].Protected) != string(recipient):
		return nil, ErrKeyID
	}
	return &e, nil
}
