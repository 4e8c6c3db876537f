/** Provides all that a page would load on demand, and what only Node can do. */
import {hubSource} from '../llama/hub/hub_source';
import {provideHub} from '../llama/files/named_source';
import './in_node';

provideHub(hubSource);
