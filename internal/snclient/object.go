package snclient

import (
	"context"
	"fmt"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// Lookup returns the newest version of a signed object that the SN knows, which
// is verified to be the one with that id.
func (c *Client) Lookup(ctx context.Context, id identity.ID) (identity.Object, error) {
	fail := func(err error) (identity.Object, error) {
		return nil, fmt.Errorf("snclient: look up %s at %s: %w", id.Short(), c.cfg.Ref.ID.Short(), err)
	}
	b, err := c.do(ctx, func(n uint32) message { return &wire.Lookup{Request: n, ID: id} })
	if err != nil {
		return fail(err)
	}
	m, err := wire.ParseFound(b)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrAnswer, err))
	}
	raw := m.Object
	if m.Status == wire.StatusTooLarge {
		raw, m.Status, err = c.lookupParts(ctx, id)
	}
	if err != nil {
		return fail(err)
	}
	if m.Status != wire.StatusOK {
		return nil, &StatusError{"look up", id, c.cfg.Ref.ID, m.Status}
	}
	o, err := identity.ParseObject(raw)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrAnswer, err))
	}
	if o.ID() != id {
		return fail(fmt.Errorf("%w: object %s: %w", ErrAnswer, o.ID().Short(), identity.ErrWrongID))
	}
	return o, nil
}

// lookupParts gets an object that does not fit one message, part by part
// (spec §4). If it is replaced meanwhile the parts do not fit together, and the
// caller asks again another time.
func (c *Client) lookupParts(ctx context.Context, id identity.ID) ([]byte, wire.Status, error) {
	var object []byte
	for {
		b, err := c.do(ctx, func(n uint32) message {
			return &wire.LookupPart{Request: n, ID: id, Offset: uint32(len(object))}
		})
		if err != nil {
			return nil, 0, err
		}
		m, err := wire.ParseFoundPart(b)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if m.Status != wire.StatusOK {
			return nil, m.Status, nil
		}
		if int(m.Part.Offset) != len(object) || len(m.Part.Bytes) == 0 {
			return nil, 0, fmt.Errorf("%w: a part at %d of %d bytes, not at %d", ErrAnswer, m.Part.Offset, len(m.Part.Bytes), len(object))
		}
		object = append(object, m.Part.Bytes...) // at most wire.MaxStored: a part ends within the whole
		if len(object) == int(m.Part.Total) {
			return object, wire.StatusOK, nil
		}
	}
}

// Publish stores a signed object at the SN for 24 hours.
func (c *Client) Publish(ctx context.Context, o identity.Object) error {
	raw := o.Bytes()
	if n := len(raw); n > wire.MaxStored {
		return fmt.Errorf("snclient: publish %s: %d bytes, at most %d: %w", o.ID().Short(), n, wire.MaxStored, identity.ErrTooLarge)
	}
	var status wire.Status
	var err error
	if len(raw) <= wire.MaxObject {
		status, err = c.publish(ctx, func(n uint32) message { return &wire.Publish{Request: n, Object: raw} })
	} else if status, err = c.publishParts(ctx, raw); err == nil && status == wire.StatusNotFound {
		// The SN has lost the parts before, or the answer to the last one.
		status, err = c.publishParts(ctx, raw)
	}
	if err != nil {
		return fmt.Errorf("snclient: publish %s at %s: %w", o.ID().Short(), c.cfg.Ref.ID.Short(), err)
	}
	if status != wire.StatusOK {
		return &StatusError{"publish", o.ID(), c.cfg.Ref.ID, status}
	}
	return nil
}

// publishParts brings an object part by part (spec §4).
func (c *Client) publishParts(ctx context.Context, raw []byte) (wire.Status, error) {
	// One device's uploads must not mix.
	select {
	case c.uploading <- struct{}{}:
		defer func() { <-c.uploading }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for at := 0; at < len(raw); {
		part := wire.PartOf(raw, at)
		status, err := c.publish(ctx, func(n uint32) message { return &wire.PublishPart{Request: n, Part: part} })
		if err != nil || status != wire.StatusOK {
			return status, err
		}
		at += len(part.Bytes)
	}
	return wire.StatusOK, nil
}

// publish sends a message that is answered by Published.
func (c *Client) publish(ctx context.Context, build func(request uint32) message) (wire.Status, error) {
	b, err := c.do(ctx, build)
	if err != nil {
		return 0, err
	}
	m, err := wire.ParsePublished(b)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return m.Status, nil
}
