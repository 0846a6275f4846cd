package schema

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A peer is another instance as the heartbeats of this one saw it.
type peer struct {
	beats  int64
	silent int  // how many heartbeats of this instance ago its document changed last
	lost   bool // it is known to be silent
}

// followPeers looks at the other instances, once with each heartbeat of this one. So it needs no clock
// of theirs. An instance that ends removes its document. One whose document stays and does not change
// was killed, unless it is a command.
func (s *Schema) followPeers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Those of which something was heard last, if there are too many.
	list, err := s.list(ctx, options.Find().SetProjection(bson.D{{Key: "figures", Value: 0}}).
		SetSort(bson.D{{Key: "seen", Value: -1}}))
	if err != nil {
		return err
	}
	before := s.peers
	s.peers = make(map[string]*peer, len(list))
	for i := range list {
		in := &list[i]
		p := before[in.ID]
		switch {
		case in.ID == s.self.ID:
			continue
		case in.Beats == 0: // a command, which has no heartbeats, or a server that has begun just now
			continue
		case p == nil: // one that has been silent for long is known to others
			p = &peer{beats: in.Beats, lost: time.Since(in.Seen) > s.SilentAfter()}
		case p.beats != in.Beats:
			p.beats, p.silent, p.lost = in.Beats, 0, false
		default:
			p.silent++
		}
		s.peers[in.ID] = p
		if p.silent < silentHeartbeats {
			continue
		}
		if !p.lost && s.Lost != nil {
			s.Lost(in)
		}
		p.lost = true
		if time.Since(in.Seen) > keepLost {
			if err := s.forget(ctx, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget removes the document of a silent instance, unless it speaks again.
func (s *Schema) forget(ctx context.Context, in *Instance) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.instances.DeleteOne(ctx, bson.D{{Key: "_id", Value: in.ID}, {Key: "beats", Value: in.Beats}})
	if err != nil {
		return fmt.Errorf("schema: forget an instance: %w", err)
	}
	return nil
}
