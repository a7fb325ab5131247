package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"callrecordd/internal/ledger"
)

// Prover proves what the ledger says about recordings.
type Prover interface {
	// Checkpoint returns the newest checkpoint, and as it is signed. It counts all
	// entries that there are.
	Checkpoint(ctx context.Context) (ledger.Checkpoint, string, error)
	// ProveFile proves by the checkpoint what the file of the recording is, or says
	// why that cannot be.
	ProveFile(ctx context.Context, c ledger.Checkpoint, recording string) ledger.ProvedFile
}

// proofs is proofs.json: for each file of the archive the entry of the ledger
// that says its hash, and the proof that the entry is in the ledger. Clients
// that do not know it leave it alone, as they do missing.json.
type proofs struct {
	aside
	prover Prover
	at     ledger.Checkpoint
	signed string
	n      int
}

// begin gets a checkpoint. Without one there are no proofs, which is no reason
// not to archive.
func (p *proofs) begin(ctx context.Context) (err error) {
	if p.prover == nil {
		return nil
	}
	if p.at, p.signed, err = p.prover.Checkpoint(ctx); err != nil {
		return fmt.Errorf("checkpoint for the proofs: %w", err)
	}
	return nil
}

func (p *proofs) add(ctx context.Context, it Item) error {
	if p.signed == "" {
		return nil
	}
	f := p.prover.ProveFile(ctx, p.at, it.Recording.UUID)
	f.Filename, f.RecordingUUID = it.Name(), it.Recording.UUID
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode the proof of recording %s: %w", it.Recording.UUID, err)
	}
	begin := ","
	if p.n == 0 {
		signed, err := json.Marshal(p.signed)
		if err != nil {
			return fmt.Errorf("encode the checkpoint: %w", err)
		}
		begin = fmt.Sprintf("{\n  \"checkpoint\": %s,\n  \"files\": [", signed)
	}
	p.n++
	return p.write("%s\n    %s", begin, data)
}

func (p *proofs) finish() (io.Reader, error) {
	if err := p.write("\n  ]\n}\n"); err != nil {
		return nil, err
	}
	return p.aside.finish()
}
