/** What is wrong with an example. */
export class ExampleError extends Error {
  /**
   * @param kind What may be wrong with others, too.
   * @param detail What is so in this one: the message goes on with it.
   */
  constructor(
    readonly kind: string,
    detail = '',
    options?: ErrorOptions,
  ) {
    super(kind + detail, options);
  }
}
