/** The sentences below the headline: what learns from what, and how. */
import {BUILT_IN} from './choice';
import {byId, setText} from './dom';
import type {ReportTitle} from './report';
import {methodSentence} from './settings';
import {texts} from './texts';

const builtIn = byId('lead-built-in');
/** How OwLore does it, in the words of the page. */
const owlore = byId('lead-owlore').textContent.replace(/\s+/g, ' ');

/** Those of the built-in ones keep their place, so that nothing moves. */
export function showLead({model, data, method}: ReportTitle): void {
  const isFirst = model === BUILT_IN && data === texts['moby-dick'] && method === 'owlore';
  const name = model.replace(/^(the|your|a) /, (word) => word.charAt(0).toUpperCase() + word.slice(1)); // prettier-ignore
  const how = method === 'owlore' ? owlore : methodSentence(method);
  builtIn.classList.toggle('unseen', !isFirst);
  setText(byId('lead-own'), isFirst ? '' : `${name} learns from ${data}. ${how}`);
}
