import {expect} from 'chai';
import {fileOfUrl, isUrl, splitFileUrl} from '../../src/files/file_url';

describe('URLs of files', () => {
  it('are told from paths by how they begin', () => {
    for (const url of ['http://h/a', 'https://h/a', 'HTTPS://h']) expect(isUrl(url)).to.equal(true);
    for (const path of ['a', '/a', 'C:/a', 'ftp://h/a', 'http:/h', 'my http://h/a'])
      expect(isUrl(path), path).to.equal(false);
  });

  it('are split into the folder, with all that follows the path, and the name', () => {
    expect(splitFileUrl('test', 'https://h:8/a%20b/c%20d.gguf?key=1/2#x')).to.deep.equal({
      folder: 'https://h:8/a%20b/?key=1/2#x',
      file: 'c d.gguf',
    });
    expect(splitFileUrl('test', 'https://h')).to.deep.equal({folder: 'https://h/', file: ''});
  });

  it('are refused where they are none, or not encoded', () => {
    expect(() => splitFileUrl('test', 'https://[')).to.throw("test: 'https://[' is not a URL");
    expect(() => splitFileUrl('test', 'https://h/a/100%.gguf')).to.throw(
      "test: the URL's '100%.gguf' is not encoded as a URL must be",
    );
  });

  it('have a name for messages, whatever they are', () => {
    for (const [source, name] of [
      ['https://h/a/b%20c?d=e/f', 'b c'],
      ['https://h/a/100%', '100%'],
      ['a/b', 'a/b'],
    ] as const)
      expect(fileOfUrl(source)).to.equal(name);
  });
});
