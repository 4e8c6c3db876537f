import {expect} from 'chai';
import {hubFilesUrl, hubNameOfPlace, hubNameText, parseHubName} from '../../src/files/hub_name';

describe('parseHubName', () => {
  it('takes names as the Hub has them', () => {
    for (const id of ['HuggingFaceTB/SmolLM2-135M_Instruct.v1', 'a/b', 'me/my.github']) {
      expect(parseHubName(id)).to.deep.equal({id, revision: 'main'});
    }
  });

  it('takes branches, tags and commits', () => {
    for (const revision of ['refs/pr/1', 'v1.0', 'a-b_c+d', 'main', '0'.repeat(40)]) {
      expect(parseHubName(`a/b@${revision}`)).to.deep.equal({id: 'a/b', revision});
    }
  });

  it('takes no paths, and no names that the Hub does not allow', () => {
    for (const text of [
      ...['model', '/a/b', './a', '../a/b', 'a/../b', 'a/b/c', 'a/b/', '~/a', 'a\\b', 'C:/a'],
      ...['a/b.git', 'a--b/c', 'a/.b', '.a/b', 'a/b.', 'a..b/c', 'https://a/b', 'a/b\n', '@a/b'],
      ...['a/b@', 'a/b@../x', 'a/b@/x', 'a/b@x/../y', 'a/b@x..y', 'a/b@.x', 'a/b@x/.y', 'a/b@x/'],
      ...['a/b@a@b', 'a/b@x?y', `a/${'b'.repeat(97)}`],
    ])
      expect(parseHubName(text), text).to.equal(null);
  });
});

describe('hubNameText', () => {
  it('has the revision where it is not main', () => {
    for (const text of ['a/b', 'a/b@v1']) expect(hubNameText(parseHubName(text)!)).to.equal(text);
    expect(hubNameText(parseHubName('a/b@main')!)).to.equal('a/b');
  });
});

describe('hubNameOfPlace', () => {
  const commit = '0123456789abcdef'.repeat(3).slice(0, 40);

  it('finds the model of a folder in a cache', () => {
    for (const end of ['', '/']) {
      const place = `/home/.cache/huggingface/hub/models--some.Owner-1--my_model/snapshots/${commit}${end}`;
      const name = {id: 'some.Owner-1/my_model', revision: commit};
      expect(hubNameOfPlace(place)).to.deep.equal(name);
      expect(hubNameOfPlace(place.replaceAll('/', '\\'))).to.deep.equal(name);
    }
  });

  it('finds the model of a URL', () => {
    for (const revision of ['main', 'v1.0+x_y-z', 'refs/pr/1']) {
      const name = {id: 'some.Owner-1/my_model', revision};
      for (const endpoint of ['https://huggingface.co', 'http://localhost:8080']) {
        const url = hubFilesUrl(endpoint, name);
        for (const place of [url, `${url}/`, url.toLowerCase().replace('some.owner', 'some.Owner')])
          expect(hubNameOfPlace(place)).to.deep.equal(name);
      }
    }
    expect(hubFilesUrl('https://h', {id: 'a/b', revision: 'refs/pr/1'})).to.equal(
      'https://h/a/b/resolve/refs%2Fpr%2F1',
    );
  });

  it('finds none in other places', () => {
    for (const place of [
      ...['/a/b', 'the files given', 'https://h/a/b', 'https://h/aa/bb/tree/main'],
      ...['https://h/aa/bb/resolve/main/part', 'https://h/x/aa/bb/resolve/main'],
      ...[
        'see https://h/aa/bb/resolve/main',
        'https://h/aa/bb/resolve/',
        'ftp://h/aa/bb/resolve/m',
      ],
      // as it stands there, it is no name
      ...['https://h/aa/bb.git/resolve/main', 'https://h/aa/bb/resolve/..'],
      `/hub/models--aa--bb/snapshots/${commit}/part`,
      `/hub/models--aa--bb/snapshots/${commit.slice(1)}`,
      `/hub/models--aa--bb/snapshots/${'g'.repeat(40)}`,
      `/hub/my-models--aa--bb/snapshots/${commit}`,
      `/hub/models--aa/snapshots/${commit}`,
    ])
      expect(hubNameOfPlace(place), place).to.equal(null);
  });
});
