"""The platform in a box: real services and guests on one machine, to try, test and rehearse against.

Licence: AGPL-3.0-or-later, because it builds on fakepve (see lab/LICENSE.md). The collection never imports it.
"""
