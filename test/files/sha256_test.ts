import {createHash} from 'node:crypto';
import {expect} from 'chai';
import {sha256} from '../../src/files/sha256';
import {rejection} from '../support/rejection';

describe('sha256', () => {
  it('is what another program computes', async () => {
    for (const text of ['', 'abc', 'x'.repeat(1000)]) {
      const expected = createHash('sha256').update(text).digest('hex');
      expect(await sha256('test', new TextEncoder().encode(text))).to.equal(expected);
    }
  });

  it('says what it needs where a page does not come by https', async () => {
    const crypto = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;
    Object.defineProperty(globalThis, 'crypto', {...crypto, get: () => ({})});
    try {
      expect((await rejection(sha256('test', new Uint8Array(1)))).message).to.equal(
        'test: needs crypto.subtle, which browsers give only to pages that come by https or from localhost',
      );
    } finally {
      Object.defineProperty(globalThis, 'crypto', crypto);
    }
  });
});
