/**
 * The SHA-256 of bytes, in hexadecimal.
 *
 * @throws Error in a page that is not served by https or from localhost: there a browser has no `crypto.subtle`.
 */
export async function sha256(owner: string, bytes: Uint8Array): Promise<string> {
  const {subtle} = globalThis.crypto as Partial<Crypto>;
  if (!subtle) {
    throw new Error(
      `${owner}: needs crypto.subtle, which browsers give only to pages that come by https or from localhost`,
    );
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes as BufferSource));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
