package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Signer signs checkpoints.
type Signer struct {
	signer note.Signer
	public string
}

// NewKey makes the text of a private key. The host is a part of its name, for
// people; what cannot be in a name becomes a dash.
func NewKey(random io.Reader, host string) (private string, err error) {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, host)
	if name == "" {
		name = "pbx"
	}
	private, _, err = note.GenerateKey(random, namePrefix+name)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return private, nil
}

// NewSigner reads the text of a private key. No error shows the key.
func NewSigner(private string) (*Signer, error) {
	private = strings.TrimSpace(private)
	signer, err := note.NewSigner(private)
	if err != nil || !strings.HasPrefix(signer.Name(), namePrefix) {
		return nil, errors.New("this is no private key of a ledger")
	}
	public, err := publicOf(signer.Name(), private)
	if err != nil {
		return nil, err
	}
	return &Signer{signer, public}, nil
}

// publicOf computes the public key. The text of a private one, which has been
// read already, ends with a byte for the algorithm and the seed, in base64.
func publicOf(name, private string) (string, error) {
	parts := strings.SplitN(private, "+", 5) // base64 may contain a plus
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("this is no private key of a ledger")
	}
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("an Ed25519 key has another public key")
	}
	return note.NewEd25519VerifierKey(name, public)
}

// Name is that of the key.
func (s *Signer) Name() string { return s.signer.Name() }

// Public is the text of the public key.
func (s *Signer) Public() string { return s.public }

// Sign returns the checkpoint as a signed note. The checkpoint gets the name of
// the key.
func (s *Signer) Sign(c Checkpoint) (string, error) {
	c.Name = s.Name()
	signed, err := note.Sign(&note.Note{Text: c.Text()}, s.signer)
	if err != nil {
		return "", fmt.Errorf("sign a checkpoint: %w", err)
	}
	return string(signed), nil
}

// Verifier checks signatures of one key.
type Verifier struct{ verifier note.Verifier }

// NewVerifier reads the text of a public key.
func NewVerifier(public string) (*Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(public))
	if err != nil {
		return nil, fmt.Errorf("%q is no public key of a ledger: %w", public, err)
	}
	return &Verifier{v}, nil
}

// Name is that of the key.
func (v *Verifier) Name() string { return v.verifier.Name() }

// Open checks the signature of a checkpoint and reads it.
func (v *Verifier) Open(signed string) (Checkpoint, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(v.verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err == nil && c.Name != v.Name() {
		err = fmt.Errorf("%w: it names another key", ErrCheckpoint)
	}
	return c, err
}
