import {expect} from 'chai';
import {checkSourcePath} from '../../src/files/source_path';

describe('checkSourcePath', () => {
  it('takes plain relative paths', () => {
    for (const path of ['a', 'a/b c/d', '.a', '..a', 'a..', 'a.b/...', 'ab:c', '1:a', 'é', '😀'])
      checkSourcePath('test', path);
  });

  it('refuses what may lead out of a folder, or is no name of a file on every system', () => {
    for (const path of [
      ...['', '/', '/a', 'a/', 'a//b', '.', './a', 'a/.', '..', '../a', 'a/..', 'a/../b'],
      ...['c:a', 'C:/a', 'a\\b', '\\a', 'a\0', 'a\n', '\u001fa', 'a\u007f', '\ud800', 'a\udc00'],
    ])
      expect(() => checkSourcePath('test', path), path).to.throw(
        `test: a file must be named by a path that stays in its folder, as 'model.safetensors' or 'shards/1.safetensors'; ` +
          `got ${JSON.stringify(path)}`,
      );
  });

  it('shows the beginning of a long one', () => {
    expect(() => checkSourcePath('test', `/${'a'.repeat(1000)}`)).to.throw(
      new RegExp(`; got "/a{199}"$`),
    );
  });
});
