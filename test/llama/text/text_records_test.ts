import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {readRecords} from '../../../src/llama/text/records';
import {readJson} from '../../support/fixtures';
import {inChunks} from './chunks';

async function textsOf(text: string, chunk = 5): Promise<Array<[number, string]>> {
  const texts: Array<[number, string]> = [];
  for await (const {line, bytes} of readRecords('file', inChunks(text, chunk))) {
    const fields = JSON.parse(new TextDecoder().decode(bytes)) as {text: string};
    texts.push([line, fields.text]);
  }
  return texts;
}

const fixture = new URL('../../fixtures/text/', import.meta.url);

describe('readRecords, as datasets of Hugging Face reads', () => {
  const expected = readJson<Record<string, Array<Record<string, string>>>>('text/expected');
  for (const [name, rows] of Object.entries(expected)) {
    it(name, async () => {
      const read: unknown[] = [];
      const chunks = inChunks(readFileSync(new URL(name, fixture)), 7);
      for await (const {bytes} of readRecords('file', chunks)) {
        read.push(JSON.parse(new TextDecoder().decode(bytes)));
      }
      // there the line break at the end of a file belongs to its last paragraph
      const wanted = rows.map(({text, ...others}) =>
        text === undefined ? others : {text: text.replace(/\n$/, '')},
      );
      expect(read).to.deep.equal(wanted);
    });
  }
});

describe('readRecords of a text', () => {
  it('gives paragraphs, of whichever line breaks', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const lines = ['', '  Call me', 'Ishmaël, 😀', ' \t', '', 'Some years', '', ''];
      for (const chunk of [1, 5, 1000]) {
        expect(await textsOf(`\ufeff${lines.join(end)}`, chunk), JSON.stringify(end)).to.deep.equal(
          [
            [2, '  Call me\nIshmaël, 😀'],
            [6, 'Some years'],
          ],
        );
      }
    }
  });

  it('gives lines, if none is blank', async () => {
    expect(await textsOf('One.\nTwo.\r\nThree')).to.deep.equal([
      [1, 'One.'],
      [2, 'Two.'],
      [3, 'Three'],
    ]);
  });
});
