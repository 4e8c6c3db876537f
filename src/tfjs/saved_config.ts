/**
 * What tfjs-layers does to the configuration of an optimizer, or a layer, when it loads a saved model; seen in 4.22. It takes it
 * for one of Keras: each `_x`, in keys and in the strings that are values, becomes `X`, and a key `customObjects` is added. If it
 * does not, the functions here do no harm.
 */

/** A text as it can be saved: without underscores, which are percent-encoded. */
export function toSavedText(text: string): string {
  return encodeURIComponent(text).replaceAll('_', '%5F');
}

/** The reverse of {@link toSavedText}. */
export function fromSavedText(text: string): string {
  return decodeURIComponent(text);
}

/** A loaded configuration without what tfjs has added to it. */
export function asSaved(config: Record<string, unknown>): Record<string, unknown> {
  const {customObjects: _, ...saved} = config;
  return saved;
}
