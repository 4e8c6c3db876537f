/** The models of the Hub that this browser keeps. */
import {deleteButton} from './delete_button';
import {byId, element} from './dom';
import {deleteKeptModel, listKeptModels} from './library';
import {bytesText} from './words';

/** Reads the list anew. */
export async function showKeptModels(): Promise<void> {
  const models = await listKeptModels();
  byId('kept').hidden = models.length === 0;
  byId('kept-models').replaceChildren(
    ...models.map(({name, bytes}) =>
      element(
        'li',
        {},
        element('span', {className: 'name', textContent: name}),
        element('span', {className: 'small', textContent: bytesText(bytes)}),
        element(
          'span',
          {className: 'buttons'},
          deleteButton(name, () => deleteKeptModel(name).then(showKeptModels)),
        ),
      ),
    ),
  );
}
