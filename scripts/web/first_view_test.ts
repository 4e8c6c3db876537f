/** What the page loads until it is seen. */
import {expect} from 'chai';
import {FIRST_VIEW_LIMIT, openFirstView} from '../../tools/first_view';
import {hosts, newContext} from './browsers';

describe('the first view', () => {
  it('loads neither tfjs nor a model, and not more than it may', async () => {
    const page = await (await newContext()).newPage();
    const sizes = await openFirstView(page, hosts().preview.url);
    expect(Object.keys(sizes)).to.include('/');
    expect(Object.keys(sizes).join()).to.not.match(/model\/|training_worker|[.]wasm/);
    const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    expect(total).to.be.within(20_000, FIRST_VIEW_LIMIT);
  });
});
