import {expect} from 'chai';
import {bytesText} from '../../src/memory/limit';

describe('bytesText', () => {
  it('has a unit in which there is something of each size', () => {
    for (const [bytes, text] of [
      [0, '0 bytes'],
      [1, '1 byte'],
      [1.6, '2 bytes'],
      [999, '999 bytes'],
      [1000, '1 kB'],
      [12_345, '12 kB'],
      [999_499, '999 kB'],
      [999_500, '1 MB'],
      [316e6, '316 MB'],
      [999.4e6, '999 MB'],
      [999.5e6, '1.00 GB'],
      [1.25e9, '1.25 GB'],
    ] as const)
      expect(bytesText(bytes), String(bytes)).to.equal(text);
  });
});
