/** Owns resources and disposes them in reverse order, each whatever the others did (AsyncDisposableStack, which Node 20 lacks). */
export class DisposalStack implements AsyncDisposable {
  readonly #disposals: (() => Promise<void> | void)[] = [];

  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.#disposals.push(() =>
      Symbol.asyncDispose in resource
        ? Promise.resolve(resource[Symbol.asyncDispose]())
        : resource[Symbol.dispose](),
    );
    return resource;
  }

  defer(dispose: () => Promise<void> | void): void {
    this.#disposals.push(dispose);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (const dispose of this.#disposals.splice(0).reverse()) {
      try {
        await dispose();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'disposal failed');
  }
}
