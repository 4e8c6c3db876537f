import {mkdtempSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {readConfigFile} from '../../src/cli/config_file';
import {choice, folder as folderOption, number, ofCommandLine} from '../../src/cli/options';
import {UsageError} from '../../src/cli/usage_error';

const options = {
  topK: number('tokens', {integer: true, min: 1}),
  kind: choice('which', ['a', 'b']),
  resume: ofCommandLine(folderOption('which run')),
};

describe('readConfigFile', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-config-'))));
  after(() => rmSync(folder, {recursive: true}));

  const read = (content: string) => {
    const path = join(folder, 'run.json');
    writeFileSync(path, content);
    return readConfigFile(path, options);
  };

  it('takes options by their names; null is none', () => {
    const {name, values} = read('{"topK": 3, "kind": null}');
    expect(name).to.equal(join(folder, 'run.json'));
    expect(values).to.deep.equal({topK: 3});
    expect(read('{}').values).to.deep.equal({});
  });

  it('reads no more than a JSON file may have', () => {
    const path = join(folder, 'large.json');
    writeFileSync(path, '{}');
    truncateSync(path, 100_000_001);
    expect(() => readConfigFile(path, options)).to.throw(
      UsageError,
      /large\.json has 100000001 bytes; no more than 100000000 are read/,
    );
  });

  it('takes a file with a byte order mark', () => {
    expect(read('\uFEFF{"topK": 3}\r\n').values).to.deep.equal({topK: 3});
    expect(() => read('\uFEFF\uFEFF{}')).to.throw(UsageError, /is not JSON/);
    expect(() => read('\uFEFF')).to.throw(UsageError, /is not JSON/);
  });

  for (const [content, message] of [
    ['{"topk": 3}', /run\.json: unknown option 'topk'; did you mean 'topK'\?/],
    ['{"top-k": 3}', /unknown option 'top-k'; did you mean 'topK'\?/],
    ['{"topK": "3"}', /run\.json: topK must be an integer >= 1; got '3'/],
    ['{"topK": 0}', /run\.json: topK must be an integer >= 1; got 0/],
    ['{"kind": "c"}', /run\.json: kind must be one of 'a', 'b'; got 'c'/],
    [
      '{"resume": "."}',
      /run\.json: resume is possible on the command line only, by --resume; leave/,
    ],
    ['{"topK": 1, "topK": 2}', /run\.json has "topK" twice/],
    ['{"topK": 1,}', /run\.json is not JSON/],
    ['[]', /run\.json is not a JSON object/],
    ['', /run\.json is not JSON/],
  ] as const) {
    it(`refuses ${content || 'an empty file'}`, () => {
      expect(() => read(content)).to.throw(UsageError, message);
    });
  }
});
