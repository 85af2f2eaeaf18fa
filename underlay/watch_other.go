//go:build !linux

package underlay

import "context"

func watch(ctx context.Context, n Network) (<-chan struct{}, error) {
	return poll(ctx, n, pollInterval), nil
}
