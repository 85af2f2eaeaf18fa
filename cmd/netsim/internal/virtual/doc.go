// Package virtual runs functions in virtual time: in bubbles of testing/synctest,
// in which the clock moves on as soon as everything waits.
//
// A bubble belongs to a test, so a program has to be one: [Main] makes it so by
// testing.Main, without what a test writes and without its flags. In go test,
// [Context] takes the place of Main.
//
//	func main() {
//		virtual.Main(func(ctx context.Context) int {
//			err := virtual.Run(ctx, "an hour", func(ctx context.Context) error {
//				time.Sleep(time.Hour) // takes no time
//				return nil
//			})
//			…
//		})
//	}
package virtual
