import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {textDatasetDefaults} from '../../../src/llama/text/dataset_options';

describe('documentation of textDataset', () => {
  it('has every option with the default that the code has', () => {
    const page = readFileSync(new URL('../../../docs/language-models.md', import.meta.url), 'utf8');
    const table = page.split('| option of `textDataset`')[1]!.split('\n\n')[0]!;
    const rows = [...table.matchAll(/^\| `(\w+)` +\| (\S+) +\|/gm)];
    const written = (value: unknown): string => {
      if (typeof value === 'function') return 'all';
      return typeof value === 'string' ? `\`'${value}'\`` : `\`${String(value)}\``;
    };
    expect(Object.fromEntries(rows.map(([, name, value]) => [name, value]))).to.deep.equal(
      Object.fromEntries(
        Object.entries(textDatasetDefaults).map(([name, value]) => [name, written(value)]),
      ),
    );
  });
});
